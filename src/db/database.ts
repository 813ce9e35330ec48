import type postgres from 'postgres';
import { CALLS } from '../generated/sql.js';
import { CALL_TIMEOUT, classify, errorCode } from './classify.js';
import { connect, type Connection, type ConnectionTarget } from './connect.js';
import { codedError } from './socket.js';

/** One call of one SQL function: what it is called in an error, and how long it may take. */
export interface Call {
  name: string;
  statement: string;
  parameters: readonly (string | number | boolean | null)[];
  limitMs: number;
}

/** Work in one transaction that is not a single call: applying the schema. */
export type Session = Pick<postgres.Sql, 'unsafe'>;

/** The database, one call at a time. Every call is a transaction of its own and has a time limit. */
export interface Database {
  /** Where it is and who we are there, for people; no secret. */
  readonly description: string;
  /** The database's name. */
  readonly name: string;
  /** Whether a pooler stands between us and the server, as far as the calls so far have told. */
  readonly isPooled: boolean;
  /** The same for certain: asks the server if no call so far has told. */
  findPooler(limitMs: number): Promise<boolean>;
  /** Sends the statement and returns its one answer, the jsonb value `answer` of its one row. */
  call(call: Call): Promise<unknown>;
  /** Runs `work` inside one READ COMMITTED, READ WRITE transaction, within `limitMs`. */
  transaction<T>(name: string, limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
  /** Drops the connection if there is one; the next call opens another. Never waits for the peer. */
  disconnect(): void;
}

/** A database to which we open connections of our own. */
export class OwnDatabase implements Database {
  readonly description: string;
  readonly name: string;
  readonly #target: ConnectionTarget;
  #connection: Connection | undefined;
  /** A pooler refuses or drops our session settings: each call then brings its own transaction. */
  #settingsRefused = false;
  #speaksThroughPooler: boolean | undefined;

  constructor(target: ConnectionTarget) {
    this.#target = target;
    this.description = target.describe;
    this.name = target.database;
  }

  get isPooled(): boolean {
    return this.#settingsRefused || this.#speaksThroughPooler === true;
  }

  async findPooler(limitMs: number): Promise<boolean> {
    if (!this.#settingsRefused && this.#speaksThroughPooler === undefined)
      await this.call(lookForPooler(limitMs));
    return this.isPooled;
  }

  async call(call: Call): Promise<unknown> {
    const { answer, throughPooler } = await this.#ask(call);
    this.#speaksThroughPooler ??= throughPooler;
    return answer;
  }

  #ask(call: Call): Promise<Answer> {
    return this.#within(call.name, call.limitMs, async (connection) => {
      if (!this.isPooled) {
        try {
          return await ask(connection.sql, call);
        } catch (error) {
          if (classify(error) !== 'settings') throw error;
          this.#settingsRefused = true; // a pooler that silently left them out
        }
      }
      return inTransaction(connection.sql, () => ask(connection.sql, call));
    });
  }

  async transaction<T>(name: string, limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    return this.#within(name, limitMs, (connection) =>
      inTransaction(connection.sql, () => work(connection.sql)),
    );
  }

  disconnect(): void {
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  async #within<T>(name: string, limitMs: number, work: (connection: Connection) => Promise<T>): Promise<T> {
    const endsAtMs = performance.now() + limitMs;
    try {
      return await this.#attempt(name, endsAtMs, limitMs, work);
    } catch (error) {
      if (!refusesSettings(error) || this.#settingsRefused) throw error;
      this.#settingsRefused = true;
      return await this.#attempt(name, endsAtMs, limitMs, work);
    }
  }

  async #attempt<T>(
    name: string,
    endsAtMs: number,
    limitMs: number,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const limit = timeLimit(name, limitMs, endsAtMs - performance.now());
    try {
      const working = this.#open(limit).then(work);
      working.catch(() => undefined); // after the time limit nobody else listens
      return await Promise.race([working, limit.passed]);
    } catch (error) {
      // A statement that failed leaves the session as it was; after anything else nobody knows its state.
      const kind = classify(error);
      if (kind === 'unavailable' || kind === 'refused') this.disconnect();
      throw error;
    } finally {
      limit.clear();
    }
  }

  async #open(limit: TimeLimit): Promise<Connection> {
    if (this.#connection?.isOpen() === true) return this.#connection;
    const opened = await connect(this.#target, {
      withSettings: !this.#settingsRefused,
      limitMs: limit.leftMs,
    });
    if (limit.isOver()) {
      opened.destroy();
      throw codedError(CALL_TIMEOUT, 'connected too late');
    }
    this.#connection = opened;
    return opened;
  }
}

/** A postgres.js instance of the application: we know nothing of its sessions, so each call brings its transaction. */
export class BorrowedDatabase implements Database {
  readonly description: string;
  readonly name: string;
  readonly #sql: postgres.Sql;
  #speaksThroughPooler: boolean | undefined;

  constructor(sql: postgres.Sql) {
    this.#sql = sql;
    const { user, host, port, database } = sql.options;
    this.description = `${user}@${host.join(',')}:${port.join(',')}/${database}`;
    this.name = database;
  }

  get isPooled(): boolean {
    return this.#speaksThroughPooler === true;
  }

  async findPooler(limitMs: number): Promise<boolean> {
    if (this.#speaksThroughPooler === undefined) await this.call(lookForPooler(limitMs));
    return this.isPooled;
  }

  async call(call: Call): Promise<unknown> {
    const { name, limitMs } = call;
    const { answer, throughPooler } = await this.transaction(name, limitMs, (session) => ask(session, call));
    this.#speaksThroughPooler ??= throughPooler;
    return answer;
  }

  async transaction<T>(name: string, limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    const limit = timeLimit(name, limitMs, limitMs);
    const working =
      this.#sql.options.fetch_types === false
        ? this.#begun(work)
        : this.#reserved((sql) => inTransaction(sql, () => work(sql)));
    working.catch(() => undefined);
    try {
      return await Promise.race([working, limit.passed]);
    } finally {
      limit.clear();
    }
  }

  async #reserved<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
    const sql = await this.#sql.reserve();
    try {
      return await work(sql);
    } finally {
      sql.release();
    }
  }

  /** Where no types are fetched, a reserve() that has to connect first is never answered (postgres.js 3.4). */
  async #begun<T>(work: (sql: Session) => Promise<T>): Promise<T> {
    const results: T[] = [];
    const failures: unknown[] = [];
    try {
      await this.#sql.begin('isolation level read committed read write', async (sql) => {
        try {
          await sql.unsafe(CALLS.limitChange);
          results.push(await work(sql));
        } catch (error) {
          failures.push(error);
          throw error;
        }
      });
    } catch (error) {
      // The first one: that of a rollback would hide it.
      throw failures[0] ?? error;
    }
    return results[0] as T;
  }

  disconnect(): void {
    // The application's own: it ends it.
  }
}

interface Answer {
  answer: unknown;
  /** undefined: this answer does not tell. */
  throughPooler: boolean | undefined;
}

function lookForPooler(limitMs: number): Call {
  return { name: 'look for a pooler', statement: CALLS.backend, parameters: [], limitMs };
}

async function ask(session: Session, call: Call): Promise<Answer> {
  const rows = await session.unsafe<{ answer: unknown }[]>(call.statement, [...call.parameters]);
  const answer = rows[0]?.answer;
  return { answer, throughPooler: isFromAnotherProcess(answer, rows.state.pid) };
}

/** The server process that answered is not the one that the start-up named (BackendKeyData). */
function isFromAnotherProcess(answer: unknown, startedAs: number): boolean | undefined {
  if (typeof answer !== 'object' || answer === null || !('backendPid' in answer)) return undefined;
  return answer.backendPid !== startedAs;
}

async function inTransaction<T>(sql: postgres.Sql, work: () => Promise<T>): Promise<T> {
  await sql.unsafe(`${CALLS.beginChange};\n${CALLS.limitChange}`);
  try {
    const result = await work();
    await sql.unsafe('COMMIT');
    return result;
  } catch (error) {
    // Its own failure must not hide the first one: an aborted transaction has the role's time limits again.
    if (classify(error) !== 'unavailable') await sql.unsafe('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

function refusesSettings(error: unknown): boolean {
  return errorCode(error) === '08P01' && error instanceof Error && /startup parameter/i.test(error.message);
}

interface TimeLimit {
  leftMs: number;
  /** Rejects when the time is over; never resolves. */
  passed: Promise<never>;
  isOver: () => boolean;
  clear: () => void;
}

function timeLimit(name: string, limitMs: number, leftMs: number): TimeLimit {
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        over = true;
        reject(
          codedError(CALL_TIMEOUT, `${name}: no answer from the database within ${Math.round(limitMs)} ms`),
        );
      },
      Math.max(1, leftMs),
    );
  });
  const clear = (): void => clearTimeout(timer);
  return { leftMs: Math.max(1, leftMs), passed, isOver: () => over, clear };
}
