import { nanoid } from 'nanoid';
import postgres from 'postgres';
import { errorCode } from '../../../src/db/classify.js';
import { CALLS } from '../../../src/generated/sql.js';
import { ownerCalls, sendOwnerCalls } from '../../../src/admin/owner-calls.js';
import { ensureSchema } from '../../../src/schema/apply.js';
import { SCHEMA_VERSION } from '../../../src/schema/schema-version.js';
import { renderSql } from '../../../src/schema/render.js';
import { openDatabase } from '../../support/lock.js';
import type {
  Answer,
  Caller,
  LookRequest,
  PollRequest,
  ReleaseRequest,
  Tables,
  WatchRequest,
} from './calls.js';
import { CLOCK_BASE_MS, modelDefinition, type Mutation } from './model-schema.js';

/** The content of the chained rows of the history, by their hash. */
export type Hashes = Record<string, string>;

const us = (time: string) =>
  `(extract(epoch FROM ${time} - timestamptz '2026-01-01 00:00:00Z') * 1000000)::bigint`;
const OBSERVE = `
SELECT jsonb_build_object(
  'leases', (SELECT coalesce(jsonb_agg(jsonb_build_object('instanceId', instance_id, 'token', fencing_token,
      'secretSha256', encode(secret_sha256, 'hex'), 'dbRole', db_role, 'lockedAt', ${us('locked_at')}, 'expiresAt', ${us('expires_at')},
      'releasedAt', ${us('released_at')}, 'releasedBy', released_by)), '[]') FROM "migrate_lock".migration_lock),
  'waiters', (SELECT coalesce(jsonb_object_agg(instance_id, jsonb_build_object(
      'arrivedAt', ${us('arrived_at')}, 'countsUntil', ${us('counts_until')},
      'secretSha256', encode(secret_sha256, 'hex'), 'dbRole', db_role)), '{}')
      FROM "migrate_lock".migration_lock_waiter),
  'runs', (SELECT coalesce(jsonb_object_agg(concat(run_key, ' ', command_sha256), jsonb_build_object(
      'succeeded', succeeded, 'instanceId', instance_id, 'finishedAt', ${us('finished_at')})), '{}')
      FROM "migrate_lock".migration_lock_run),
  'ends', (SELECT coalesce(jsonb_object_agg(command_sha256, jsonb_build_object('kind', kind, 'instanceId', instance_id,
      'runKey', run_key, 'lockedAt', ${us('locked_at')}, 'endedAt', ${us('ended_at')})), '{}')
      FROM "migrate_lock".migration_lock_unclean_end),
  'watchers', (SELECT coalesce(jsonb_object_agg(watcher, ${us('counts_until')}), '{}')
      FROM "migrate_lock".migration_lock_watcher WHERE db_role = session_user),
  'audit', (SELECT coalesce(jsonb_agg(jsonb_build_object('event', event, 'instanceId', instance_id,
      'token', fencing_token, 'dbRole', db_role, 'isChained', hash IS NOT NULL, 'details', details) ORDER BY id), '[]')
      FROM "migrate_lock".migration_lock_audit WHERE id > $1),
  'hashes', (SELECT coalesce(jsonb_object_agg(encode(hash, 'hex'), concat(event, ' ', instance_id)), '{}')
      FROM "migrate_lock".migration_lock_audit WHERE id > $1 AND hash IS NOT NULL)) AS answer`;

/**
 * Each role's rate limit moves with the clock: a clock that stepped back behind it would refuse polls for a moment. One
 * that charges its client comes ten times a second at most: right after a tenth of a second none does.
 */
const SET_CLOCK = `
SELECT setval('"migrate_lock".model_clock_us', $1) AS answer,
       (SELECT count(setval(role.attempts, (${CLOCK_BASE_MS} * 1000 + $1::bigint) / 100000 * 100000))
          FROM "migrate_lock".migration_lock_role AS role)`;

/** The real SQL functions, on one connection. Every call is a statement in its own transaction. */
export class RealLock {
  readonly sql: postgres.Sql;
  #firstAuditId = 0;

  constructor(
    readonly url: string,
    readonly schema: string,
  ) {
    const application_name = `model ${nanoid()}`;
    this.sql = postgres(url, { max: 1, onnotice: () => undefined, connection: { application_name } });
  }

  /** The role of the connection. */
  get dbRole(): string {
    return decodeURIComponent(new URL(this.url).username);
  }

  /** Sets the clock that every connection sees. */
  async setClock(nowUs: number): Promise<void> {
    await this.#ask(SET_CLOCK, [nowUs]);
  }

  /** Empties the lock. The history and the fencing tokens stay: they never go back. */
  async startOver(): Promise<{ dbRole: string; lastToken: number }> {
    await this.#ask(`WITH row AS (DELETE FROM "migrate_lock".migration_lock),
                          clients AS (DELETE FROM "migrate_lock".migration_lock_client),
                          waiters AS (DELETE FROM "migrate_lock".migration_lock_waiter),
                          runs AS (DELETE FROM "migrate_lock".migration_lock_run),
                          ends AS (DELETE FROM "migrate_lock".migration_lock_unclean_end),
                          watchers AS (DELETE FROM "migrate_lock".migration_lock_watcher) SELECT true AS answer`);
    const { firstAuditId, ...start } = (await this.#ask(`
      SELECT jsonb_build_object('dbRole', session_user,
        'firstAuditId', (SELECT coalesce(max(id), 0) FROM "migrate_lock".migration_lock_audit),
        'lastToken', (SELECT CASE WHEN is_called THEN last_value ELSE 0 END
                        FROM "migrate_lock".migration_lock_fencing_token_seq)) AS answer`)) as {
      firstAuditId: number;
      dbRole: string;
      lastToken: number;
    };
    this.#firstAuditId = firstAuditId;
    return start;
  }

  async observe(): Promise<{ tables: Tables; hashes: Hashes }> {
    const { hashes, ...tables } = (await this.#ask(OBSERVE, [this.#firstAuditId])) as Tables & {
      hashes: Hashes;
    };
    return { tables, hashes };
  }

  /** How many of them wait for a database lock now. */
  async countWaiting(others: readonly RealLock[]): Promise<number> {
    const names = others.map(({ sql }) => sql.options.connection.application_name);
    const rows = await this.sql<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity WHERE application_name = ANY (${names as string[]}) AND wait_event_type = 'Lock'`;
    return rows.length;
  }

  async poll(
    me: Caller,
    { ttlMs, client, respect, pollIntervalMs, isLast, failureMemoryMs }: PollRequest,
  ): Promise<Answer> {
    const { host, pid, command, commandSha256, runKey } = client;
    const answer = await this.#call(CALLS.poll, [
      ...[SCHEMA_VERSION, me.instanceId, me.secret, ttlMs, host, pid, command],
      ...[commandSha256, runKey, failureMemoryMs, respect, 'terminate', null, pollIntervalMs, isLast, false],
    ]);
    // It depends on the server.
    return Object.fromEntries(Object.entries(answer).filter(([key]) => key !== 'connectionsLeft'));
  }

  release(
    me: Caller,
    { by = 'holder', end = {}, work = null }: Partial<ReleaseRequest> = {},
  ): Promise<Answer> {
    const { succeeded = null, exitCode = null, durationMs = null } = work ?? {};
    const told = [end.exitCode ?? null, end.signal ?? null, end.reason ?? null, end.leftovers ?? null];
    const parameters = [...secretly(me), by, 'terminate', null, ...told];
    const ended = [end.kind ?? null, end.recovered ?? false];
    return this.#call(CALLS.release, [...parameters, ...ended, succeeded, exitCode, durationMs]);
  }

  look({ client, failureMemoryMs }: LookRequest): Promise<Answer> {
    return this.#call(CALLS.readRunKey, [client.runKey, client.commandSha256, failureMemoryMs]);
  }

  watch({ runKey, watcher, isLast }: WatchRequest): Promise<Answer> {
    return this.#call(CALLS.watch, [runKey, watcher, isLast]);
  }

  leave(me: Caller): Promise<Answer> {
    return this.#call(CALLS.leave, secretly(me));
  }

  extend(me: Caller, ttlMs: number): Promise<Answer> {
    return this.#call(CALLS.extend, [...secretly(me), ttlMs]);
  }

  assertHeld(instanceId: string, token: number): Promise<Answer> {
    return this.#call(CALLS.assertHeld, [instanceId, token]);
  }

  cleanup(): Promise<Answer> {
    return this.#call(CALLS.cleanup, ['terminate', null]);
  }

  status(): Promise<Answer> {
    return this.#call(CALLS.status, []);
  }

  /** Any call, whatever the program itself would send. */
  attack(statement: string, parameters: Parameter[]): Promise<Answer> {
    return this.#call(statement, parameters);
  }

  /** A role's waiters and watchers leave: nothing else of it is left. */
  async forgetWaitersOf(dbRole: string): Promise<void> {
    await this.#ask(
      `WITH watchers AS (DELETE FROM "migrate_lock".migration_lock_watcher WHERE db_role = $1)
       DELETE FROM "migrate_lock".migration_lock_waiter WHERE db_role = $1`,
      [dbRole],
    );
  }

  async begin(): Promise<void> {
    await this.sql.unsafe('BEGIN');
  }

  async finish(how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await this.sql.unsafe(how);
  }

  async end(): Promise<void> {
    await this.sql.end({ timeout: 1 });
  }

  /** A refusal of the database is an answer too. */
  async #call(statement: string, parameters: Parameter[]): Promise<Answer> {
    try {
      return (await this.#ask(statement, parameters)) as Answer;
    } catch (error) {
      return { error: errorCode(error) };
    }
  }

  async #ask(statement: string, parameters: Parameter[] = []): Promise<unknown> {
    const text = renderSql(statement, this.schema);
    const rows = await this.sql.unsafe<{ answer: unknown }[]>(text, parameters, { prepare: true });
    return rows[0]?.answer;
  }
}

type Parameter = string | number | boolean | null;

function secretly({ instanceId, secret }: Caller): Parameter[] {
  return [instanceId, secret];
}

/**
 * Applies the lock schema with the model's clock, whole or with a mutation, the way the product does.
 * @param role is admitted.
 */
export async function applyModelSchema(
  url: string,
  schema: string,
  { mutation, role }: { mutation?: Mutation | undefined; role?: string } = {},
): Promise<void> {
  const database = openDatabase(url);
  try {
    const definition = modelDefinition(mutation);
    await ensureSchema(database, schema, definition);
    // A mutation with a syntax error would be found by any test. Here the functions' bodies are checked.
    if (mutation !== undefined) {
      const texts = definition.functions.map(({ sql }) => renderSql(sql, schema));
      await database.transaction('check the mutation', 10_000, (session) => session.unsafe(texts.join('\n')));
    }
    if (role !== undefined) await sendOwnerCalls(database, schema, ownerCalls({ role, childRoles: [] }));
  } finally {
    database.disconnect();
  }
}

/** The nth connection; negative: from the end. */
export function lockAt(locks: readonly RealLock[], n: number): RealLock {
  const lock = locks.at(n);
  if (lock === undefined) throw new Error(`there are ${locks.length} connections only`);
  return lock;
}
