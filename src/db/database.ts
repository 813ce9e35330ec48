import type postgres from 'postgres';
import type { Notification } from './notification.js';

export type Parameters = readonly (string | number | boolean | null)[];

/** One call of one SQL function: what it is called in an error, and how long it may take. */
export interface Call {
  name: string;
  statement: string;
  parameters: Parameters;
  /** The same for a database that cannot store every character; undefined: they are the same. Needs the precondition. */
  parametersInAscii?: Parameters;
  limitMs: number;
  /** What has to hold before the statement is sent. */
  precondition?: Precondition;
}

/** A statement without parameters whose rows say whether a call may be made. */
export interface Precondition {
  statement: string;
  /** @throws when it may not. */
  check: (rows: readonly unknown[]) => { storesUnicode: boolean; owner: string };
}

/** Work in one transaction that is not a single call: applying the schema. */
export type Session = Pick<postgres.Sql, 'unsafe'>;

/** The database, one call at a time. Every call is a transaction of its own and has a time limit. */
export interface Database {
  /** Where it is and who we are there, for people; no secret. */
  readonly description: string;
  /** The database's name. */
  readonly name: string;
  /** How many hosts it may be at. */
  readonly hosts: number;
  /** What the user allows for a connection to one host (`connect_timeout`); undefined: nothing is said. */
  readonly connectTimeoutMs: number | undefined;
  /** Whether a pooler stands between us and the server, as far as the calls so far have told. */
  readonly isPooled: boolean;
  /** Whether it is certain that none does. */
  readonly isDirect: boolean;
  /** Set by every notification that our session gets; undefined: the sessions are shared, so LISTEN is not possible. */
  readonly notification: Notification | undefined;
  /** The same for certain: asks the server if no call so far has told. */
  findPooler(limitMs: number): Promise<boolean>;
  /** Sends the statement and returns its one answer, the jsonb value `answer` of its one row. */
  call(call: Call): Promise<unknown>;
  /** Runs `work` inside one READ COMMITTED, READ WRITE transaction, within `limitMs`. */
  transaction<T>(name: string, limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
  /** Drops the connection if there is one; the next call opens another. Never waits for the peer. */
  disconnect(): void;
}
