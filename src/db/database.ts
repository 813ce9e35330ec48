import type postgres from 'postgres';
import type { Notification } from './notification.js';

export type Parameters = readonly (string | number | boolean | null)[];

/** One call of one SQL function: its name in an error, and its time limit. */
export interface Call {
  name: string;
  statement: string;
  parameters: Parameters;
  /**
   * The same for a database that cannot store every character; undefined: they are the same. Needs the precondition.
   */
  parametersInAscii?: Parameters;
  limitMs: number;
  /** The condition for sending the statement. */
  precondition?: Precondition;
}

/** A statement without parameters whose rows say whether a call may be made. */
export interface Precondition {
  statement: string;
  /** @throws when it may not be made. */
  check: (rows: readonly unknown[]) => { storesUnicode: boolean; owner: string };
}

/** Work in one transaction that is not a single call: applying the schema. */
export type Session = Pick<postgres.Sql, 'unsafe'>;

/** The database, one call at a time. Every call has its own transaction and time limit. */
export interface Database {
  /** The server and the user, for messages; no secret. */
  readonly description: string;
  /** The database's name. */
  readonly name: string;
  /** The number of hosts to try. */
  readonly hosts: number;
  /** The user's time limit for a connection to one host (`connect_timeout`); undefined: none is set. */
  readonly connectTimeoutMs: number | undefined;
  /** Whether a pooler is in front of the server, as far as the calls so far have shown. */
  readonly isPooled: boolean;
  /** Whether it is certain that there is none. */
  readonly isDirect: boolean;
  /** Set by every notification that the session gets; undefined: the sessions are shared, so LISTEN is not possible. */
  readonly notification: Notification | undefined;
  /** The same for certain: sends a query if no call has shown it yet. */
  findPooler(limitMs: number): Promise<boolean>;
  /** Sends the statement and returns its one answer, the jsonb value `answer` of its one row. */
  call(call: Call): Promise<unknown>;
  /** Runs `work` inside one READ COMMITTED, READ WRITE transaction, within `limitMs`. */
  transaction<T>(name: string, limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
  /** Drops the connection if there is one; the next call opens another. Never waits for the peer. */
  disconnect(): void;
}
