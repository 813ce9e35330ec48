import type postgres from 'postgres';
import { sendCall, inTransaction, backendCall, Preconditions } from './send-call.js';
import { CALL_TIMEOUT, classify, errorCode } from './classify.js';
import { closeReason, withRefusedOptions, withPasswordFile } from './connection-errors.js';
import { connect } from './connect.js';
import type { Connection, ConnectionTarget } from './connection.js';
import type { Call, Database, Session } from './database.js';
import { Notification } from './notification.js';
import { isPgpool, isRdsProxy, pathOf } from './pooler.js';
import { asReplica } from './primary.js';
import { isFatal } from './server-error.js';
import { codedError } from './socket.js';
import { timeLimit, type TimeLimit } from './time-limit.js';

const STATEMENT_TIMEOUT = '57014';

/** A database to which the program opens its own connections. */
export class OwnDatabase implements Database {
  readonly description: string;
  readonly name: string;
  readonly notification = new Notification();
  readonly hosts: number;
  readonly connectTimeoutMs: number | undefined;
  #target: ConnectionTarget;
  #connection: Connection | undefined;
  #opening: Promise<Connection> | undefined;
  #preconditions = new Preconditions(() => this.isDirect);
  /** Ends the connection, also one that is being opened. */
  #ending = new AbortController();
  /** A pooler refuses or drops the session settings: each call then has its own transaction. */
  #settingsRefused = false;
  #speaksThroughPooler: boolean | undefined;
  /** Whether the process in between is pgpool-II: checked once. */
  #isPgpool: boolean | undefined;

  constructor(target: ConnectionTarget) {
    this.#target = target;
    this.description = target.describe;
    this.name = target.database;
    this.hosts = target.hosts.length;
    this.connectTimeoutMs = target.connectTimeoutMs;
    if (target.hosts.some(({ host }) => isRdsProxy(host))) this.#speaksThroughPooler = true;
  }

  get isPooled(): boolean {
    return this.#settingsRefused || this.#speaksThroughPooler === true;
  }

  get isDirect(): boolean {
    return !this.#settingsRefused && this.#speaksThroughPooler === false;
  }

  async findPooler(limitMs: number): Promise<boolean> {
    if (!this.#settingsRefused && this.#speaksThroughPooler === undefined)
      await this.call(backendCall(limitMs));
    return this.isPooled;
  }

  call(call: Call): Promise<unknown> {
    return this.#within(call.name, call.limitMs, async (connection) => {
      if (!this.isPooled) {
        try {
          const learn = (rows: postgres.RowList<postgres.Row[]>): Promise<void> =>
            this.#learn(rows, connection);
          return await sendCall(connection.sql, call, {
            prepare: this.isDirect,
            learn,
            preconditions: this.#preconditions,
          });
        } catch (error) {
          if (classify(error) !== 'settings' && !this.#hitsForeignTimeout(error)) throw error;
          // No session setting makes a replica writable.
          const said = await asReplica(error, connection.sql);
          if (said !== error) throw said;
          this.#settingsRefused = true; // a pooler that silently left them out
        }
      }
      return inTransaction(connection.sql, () => sendCall(connection.sql, call));
    });
  }

  /** Also later: the process may change after the start-up. */
  async #learn(rows: postgres.RowList<postgres.Row[]>, { sql, client }: Connection): Promise<void> {
    const path = pathOf(rows, client);
    if (path === undefined || this.isPooled) return;
    if (path === 'relayed') this.#isPgpool ??= await isPgpool(sql);
    this.#speaksThroughPooler = path === 'pooled' || (path === 'relayed' && this.#isPgpool === true);
  }

  /**
   * The program's limit is longer than any call may take; a shorter one is the role's, where a pooler dropped the
   * program's.
   */
  #hitsForeignTimeout(error: unknown): boolean {
    return errorCode(error) === STATEMENT_TIMEOUT && !this.isDirect;
  }

  async transaction<T>(name: string, limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    return this.#within(name, limitMs, (connection) =>
      inTransaction(connection.sql, () => work(connection.sql)),
    );
  }

  /**
   * Begins to connect for the first call, so that other preparations can run at the same time. A failure is reported by
   * that call.
   */
  prepare(limitMs: number): void {
    this.#opening = this.#connect(limitMs);
    this.#opening.catch(() => undefined);
  }

  disconnect(): void {
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#connection = undefined;
    this.#opening = undefined;
  }

  #connect(limitMs: number): Promise<Connection> {
    return connect(this.#target, {
      withSettings: !this.#settingsRefused,
      limitMs,
      signal: this.#ending.signal,
      onNotification: () => this.notification.arrive(),
    });
  }

  async #within<T>(name: string, limitMs: number, work: (connection: Connection) => Promise<T>): Promise<T> {
    const endsAtMs = performance.now() + limitMs;
    try {
      return await this.#attempt(name, endsAtMs, limitMs, work);
    } catch (error) {
      if (refusesSettings(error) && !this.#settingsRefused) this.#settingsRefused = true;
      else if (refusesTls(error) && this.#target.ssl === 'prefer')
        this.#target = { ...this.#target, ssl: 'disable' };
      else throw withRefusedOptions(error, this.#target);
      return await this.#attempt(name, endsAtMs, limitMs, work).catch((again: unknown) => {
        throw withRefusedOptions(again, this.#target);
      });
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
      working.catch(() => undefined); // after the time limit its result is ignored
      return await Promise.race([working, limit.passed]);
    } catch (error) {
      // After a failed statement the session is unchanged. After any other failure its state is unknown.
      const said = await this.#explained(error, limit);
      const kind = classify(said);
      if (kind === 'unavailable' || kind === 'refused') this.disconnect();
      throw withPasswordFile(said, this.#target);
    } finally {
      limit.clear();
    }
  }

  async #explained(error: unknown, limit: TimeLimit): Promise<unknown> {
    const connection = this.#connection;
    if (connection?.isOpen() !== true) return closeReason(error, connection?.closeMessage());
    return Promise.race([asReplica(error, connection.sql), limit.passed]).catch(() => error);
  }

  async #open(limit: TimeLimit): Promise<Connection> {
    if (this.#connection?.isOpen() === true) return this.#connection;
    this.#connection = undefined;
    const opening = this.#opening ?? this.#connect(limit.leftMs);
    this.#opening = undefined;
    const opened = await opening;
    if (limit.isOver()) {
      opened.destroy();
      throw codedError(CALL_TIMEOUT, 'connected too late');
    }
    this.#connection = opened;
    this.#preconditions = new Preconditions(() => this.isDirect);
    return opened;
  }
}

function refusesSettings(error: unknown): boolean {
  return errorCode(error) === '08P01' && isFatal(error);
}

/** pg_hba.conf may have a line for this client, but none for TLS. As libpq, the message is not read. */
function refusesTls(error: unknown): boolean {
  return errorCode(error) === '28000';
}
