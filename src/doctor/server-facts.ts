import { connect } from '../db/connect.js';
import { errorCode } from '../db/classify.js';
import { closeReason } from '../db/connection-errors.js';
import type { Connection, ConnectionTarget } from '../db/connection.js';
import type { Database } from '../db/database.js';
import { isPgpool, isRdsProxy, pathOf } from '../db/pooler.js';
import { timeLimit } from '../db/time-limit.js';
import { integer, list, object, orNull, text, truth } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';
import { renderSql } from '../schema/render.js';

/** The time limit of each read. */
export const LIMIT_MS = 5_000;
const CONNECTIONS = integer(-1e9, 1e9);
const PID = integer(0, 2 ** 31);

/** See sql/calls/doctor-server.sql. */
export interface ServerFacts {
  /** The server's process that answered. */
  backendPid: number;
  version: string;
  versionNumber: number;
  isReplica: boolean;
  /** The role that calls the lock, and would create it. */
  role: string;
  /** Whether the role may create a schema. */
  mayCreate: boolean;
  /** The lock schema; null: there is none of this name. */
  schema: {
    owner: string;
    /** Whether the role is the owner, or can act as the owner. */
    isOwner: boolean;
    /** Functions that a run calls: those that are not there, and those that the role may not call. */
    missing: string[];
    mayNotCall: string[];
    /** Whether the owner sees, and may end, sessions of the login. */
    canSee: boolean;
    canEnd: boolean;
  } | null;
  connectionsLeft: number;
}

const serverShape = object<ServerFacts>({
  backendPid: PID,
  version: text(),
  versionNumber: integer(0, 1e9),
  isReplica: truth,
  role: text(),
  mayCreate: truth,
  schema: orNull(
    object<NonNullable<ServerFacts['schema']>>({
      owner: text(),
      isOwner: truth,
      missing: list(text()),
      mayNotCall: list(text()),
      canSee: truth,
      canEnd: truth,
    }),
  ),
  connectionsLeft: CONNECTIONS,
});

/** Reached as a run reaches the server. */
export async function readServerFacts(database: Database, schema: string): Promise<ServerFacts> {
  const answer = await database.call({
    name: 'read the state of the server',
    statement: renderSql(CALLS.doctorServer, schema),
    parameters: [],
    limitMs: LIMIT_MS,
  });
  return serverShape(answer, 'the server');
}

interface Timeout {
  ms: number;
  /** As pg_settings calls it: `default`, `configuration file`, `database`, `user`, `database user`, `client`. */
  source: string;
}

export type TimeoutName =
  'statement_timeout' | 'transaction_timeout' | 'lock_timeout' | 'idle_in_transaction_session_timeout';

/** See sql/calls/doctor-session.sql. */
export interface SessionFacts {
  backendPid: number;
  database: string;
  login: string;
  role: string;
  isReadOnly: boolean;
  searchPath: string;
  /** Where a table is created; null: nowhere. */
  schema: string | null;
  /** Whether the role may create one there. */
  mayCreate: boolean;
  timeouts: Record<TimeoutName, Timeout>;
}

const timeout = object<Timeout>({ ms: integer(0, 2 ** 31), source: text() });
const sessionShape = object<SessionFacts>({
  backendPid: PID,
  database: text(),
  login: text(),
  role: text(),
  isReadOnly: truth,
  searchPath: text(),
  schema: orNull(text()),
  mayCreate: truth,
  timeouts: object<SessionFacts['timeouts']>({
    statement_timeout: timeout,
    transaction_timeout: timeout,
    lock_timeout: timeout,
    idle_in_transaction_session_timeout: timeout,
  }),
});

/** A session without settings of ours, as the command's sessions are. */
export class PlainSession {
  private constructor(
    readonly connection: Connection,
    private readonly target: ConnectionTarget,
  ) {}

  static async open(target: ConnectionTarget): Promise<PlainSession> {
    const options = { withSettings: false, limitMs: LIMIT_MS };
    try {
      return new PlainSession(await connect(target, options), target);
    } catch (error) {
      // pg_hba.conf may have a line for this client, but none for TLS: as OwnDatabase.
      if (target.ssl !== 'prefer' || errorCode(error) !== '28000') throw error;
      return new PlainSession(await connect({ ...target, ssl: 'disable' }, options), target);
    }
  }

  close(): void {
    this.connection.destroy();
  }

  facts(): Promise<{ session: SessionFacts; path: Path }> {
    return this.#within('read the settings of a session', async ({ sql, client }) => {
      const rows = await sql.unsafe<{ answer: unknown }[]>(CALLS.doctorSession);
      const session = sessionShape(rows[0]?.answer, 'the session');
      return { session, path: await this.#path(pathOf(rows, client)) };
    });
  }

  async #path(path: ReturnType<typeof pathOf>): Promise<Path> {
    if (this.target.hosts.some(({ host }) => isRdsProxy(host))) return 'RDS Proxy';
    if (path === 'relayed') return (await isPgpool(this.connection.sql)) ? 'pgpool-II' : 'relayed';
    return path === 'direct' ? 'direct' : 'pooled';
  }

  async listen(schema: string): Promise<void> {
    await this.#within('LISTEN', ({ sql }) => sql.unsafe(renderSql(CALLS.listen, schema)).simple());
  }

  /** The shortest of three round trips, and how far ahead of ours the server's clock is by it. */
  clock(): Promise<{ roundTripMs: number; aheadMs: number }> {
    return this.#within('read the clock', async ({ sql }) => {
      let best = { roundTripMs: Infinity, aheadMs: 0 };
      for (let n = 0; n < 3; n++) {
        const sentAtMs = Date.now();
        const startedAtMs = performance.now();
        const [row] = await sql.unsafe<{ answer: { nowMs: number } }[]>(CALLS.clock);
        const roundTripMs = performance.now() - startedAtMs;
        if (row === undefined || roundTripMs >= best.roundTripMs) continue;
        best = { roundTripMs, aheadMs: Math.round(row.answer.nowMs - (sentAtMs + roundTripMs / 2)) };
      }
      return best;
    });
  }

  async #within<T>(name: string, work: (connection: Connection) => PromiseLike<T>): Promise<T> {
    const limit = timeLimit(name, LIMIT_MS, LIMIT_MS);
    try {
      const working = Promise.resolve(work(this.connection));
      working.catch(() => undefined); // after the time limit its result is ignored
      return await Promise.race([working, limit.passed]);
    } catch (error) {
      throw closeReason(error, this.connection.closeMessage());
    } finally {
      limit.clear();
    }
  }
}

/** What is between us and the server. `relayed`: a relay or a network that translates addresses, which pools nothing. */
export type Path = 'direct' | 'relayed' | 'pooled' | 'pgpool-II' | 'RDS Proxy';
