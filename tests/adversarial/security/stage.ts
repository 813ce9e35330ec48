import { nanoid } from 'nanoid';
import postgres from 'postgres';
import { ownerCalls, sendOwnerCalls, type OwnerDecisions } from '../../../src/admin/owner-calls.js';
import { ensureSchema } from '../../../src/schema/apply.js';
import { SCHEMA_VERSION } from '../../../src/schema/schema-version.js';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { openDatabase } from '../../support/lock.js';

/** A lock as a careful administrator sets it up: an owner without other rights, and roles that it admits. */
export interface Stage {
  db: TestDatabase;
  owner: TestRole;
  /** Admitted: may use the lock. */
  app: TestRole;
  /** Admitted too, and unrelated to the first. */
  other: TestRole;
  /** The role of the commands of app's runs. */
  child: TestRole;
  /** Neither. */
  stranger: TestRole;
  /** The owner's decisions from now on. */
  decide: (decisions: Partial<OwnerDecisions>) => Promise<void>;
  /** A session of the role's own. */
  as: (role: TestRole, applicationName?: string) => postgres.Sql;
  close: () => Promise<void>;
}

export async function openStage(decisions: Partial<OwnerDecisions> = {}): Promise<Stage> {
  const db = await createDatabase();
  const [owner, app, other, child, stranger] = await Promise.all([
    db.createRole(),
    db.createRole(),
    db.createRole(),
    db.createRole(),
    db.createRole(),
  ]);
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name};
                       GRANT pg_signal_backend, pg_read_all_stats TO ${owner.name}`);
  const sessions: postgres.Sql[] = [];
  const stage: Stage = {
    db,
    owner,
    app,
    other,
    child,
    stranger,
    decide: async (decisions) => {
      const database = openDatabase(owner.url);
      await ensureSchema(database, 'migrate_lock');
      await sendOwnerCalls(database, 'migrate_lock', ownerCalls({ childRoles: [], ...decisions }));
      database.disconnect();
    },
    as: (role, applicationName = 'a test') => {
      const connection = { application_name: applicationName };
      const session = postgres(role.url, { max: 1, onnotice: () => undefined, connection });
      sessions.push(session);
      return session;
    },
    close: async () => {
      await Promise.all(sessions.map((session) => session.end({ timeout: 1 })));
      await db.drop();
    },
  };
  await stage.decide({ ...decisions, role: app.name, childRoles: [child.name] });
  await stage.decide({ role: other.name });
  return stage;
}

export const sqlState = (work: PromiseLike<unknown>): Promise<string> =>
  Promise.resolve(work).then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );

export interface Answer {
  outcome: string;
  queueLength?: number;
  retryAfterMs?: number;
  holder?: { instanceId: string } | null;
  orphans?: { sessions: { pid: number; role: string | null; client: string | null }[]; denied: number };
}

type Requester = Pick<postgres.Sql, 'unsafe'>;

export type Arguments = Record<string, string | number | boolean | object | null>;

/** Calls a function of the lock by SQL, with named arguments; objects go as JSON. */
export async function call<T = Answer>(sql: Requester, name: string, given: Arguments): Promise<T> {
  const isJson = (value: unknown) => typeof value === 'object' && value !== null;
  const names = Object.entries(given).map(
    ([parameter, value], at) => `${parameter} => $${at + 1}${isJson(value) ? '::text::jsonb' : ''}`,
  );
  const values = Object.values(given).map((value) =>
    typeof value === 'object' && value !== null ? JSON.stringify(value) : value,
  );
  const statement = `SELECT migrate_lock.${name}(${names.join(', ')}) AS answer`;
  const [row] = await sql.unsafe<{ answer: T }[]>(statement, values);
  return row?.answer as T;
}

/** One attempt on a direct connection, with usual values for the missing arguments. */
export function poll(sql: Requester, given: Arguments = {}): Promise<Answer> {
  return call(sql, 'poll', { ...usualPoll(), ...given });
}

export function usualPoll(): Arguments {
  return {
    p_program: SCHEMA_VERSION,
    p_instance_id: nanoid(),
    p_secret: 's',
    p_ttl_ms: 60_000,
    p_host: null,
    p_pid: null,
    p_command: null,
    p_command_sha256: null,
    p_run_key: null,
    p_failure_memory_ms: null,
    p_respect: null,
    p_orphans: 'terminate',
    p_seen: null,
    p_poll_interval_ms: 1_000,
    p_last: false,
    p_listens: false,
  };
}

/** The end of a lease, as the holder reports it, with usual values for the missing arguments. */
export function release(sql: Requester, p_instance_id: string, p_secret: string, given: Arguments = {}) {
  return call(sql, 'release', {
    ...{ p_instance_id, p_secret, p_by: 'holder', p_orphans: 'terminate', p_seen: null },
    ...{ p_exit_code: null, p_signal: null, p_reason: null, p_leftovers: null },
    ...{ p_end: null, p_recovered: null },
    ...{ p_succeeded: null, p_work_exit_code: null, p_duration_ms: null },
    ...given,
  });
}
