import type postgres from 'postgres';
import { CALLS } from '../generated/sql.js';
import { sendCall, inTransaction, backendCall } from './send-call.js';
import type { Call, Database, Session } from './database.js';
import { isPgpool, pathOf } from './pooler.js';
import { asReplica } from './primary.js';
import { timeLimit } from './time-limit.js';

/**
 * A postgres.js instance of the application. The state of its sessions is unknown, so each call has its own
 * transaction.
 */
export class BorrowedDatabase implements Database {
  readonly description: string;
  readonly name: string;
  readonly notification = undefined;
  readonly hosts = 1;
  readonly connectTimeoutMs = undefined;
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

  get isDirect(): boolean {
    return this.#speaksThroughPooler === false;
  }

  /** The client's end of the application's connection is not known: so pgpool-II is searched for only where it matters. */
  async findPooler(limitMs: number): Promise<boolean> {
    if (this.#speaksThroughPooler === undefined) await this.call(backendCall(limitMs));
    this.#speaksThroughPooler ??= await this.#limited('find a pooler', limitMs, isPgpool(this.#sql));
    return this.isPooled;
  }

  call(call: Call): Promise<unknown> {
    const learn = (rows: postgres.RowList<postgres.Row[]>): void => {
      if (pathOf(rows, undefined) === 'pooled') this.#speaksThroughPooler = true;
    };
    return this.transaction(call.name, call.limitMs, (session) => sendCall(session, call, { learn }));
  }

  async transaction<T>(name: string, limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    const working = !this.#sql.options.fetch_types
      ? this.#begun(work)
      : this.#reserved((sql) => inTransaction(sql, () => work(sql)));
    return this.#limited(name, limitMs, working);
  }

  async #limited<T>(name: string, limitMs: number, working: Promise<T>): Promise<T> {
    const limit = timeLimit(name, limitMs, limitMs);
    working.catch(() => undefined);
    try {
      return await Promise.race([working, limit.passed]);
    } catch (error) {
      throw await Promise.race([asReplica(error, this.#sql), limit.passed]).catch(() => error);
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

  /** Without fetch_types, a reserve() that has to connect first never resolves (postgres.js 3.4). */
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
      // The first error: that of a rollback would hide it.
      throw failures[0] ?? error;
    }
    return results[0] as T;
  }

  disconnect(): void {
    // The application ends its own instance.
  }
}
