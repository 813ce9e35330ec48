import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { LockCalls } from '../../../src/lock/calls.js';
import { newIdentity, type Identity } from '../../../src/lock/lease.js';
import { openDatabase, tryToAcquire } from '../../support/lock.js';
import { openStage, poll, type Arguments, type Stage } from './stage.js';

/**
 * Every function that an admitted role may call, with bad arguments: each parameter in turn, and every
 * two of them together. The values follow from the parameter's type, so that a new function is covered too.
 */

interface Parameter {
  name: string;
  type: string;
}

interface Callable {
  name: string;
  parameters: Parameter[];
}

const HUGE = 'x'.repeat(20_000);
/** Valid values for these parameters; any other one has the first value of its type. */
const PLAUSIBLE: Record<string, unknown> = {
  p_program: 1,
  p_ttl_ms: 1_000,
  p_poll_interval_ms: 1_000,
  p_orphans: 'terminate',
  p_by: 'holder',
  p_host: 'host',
  p_command: 'command',
  p_exit_code: 0,
  p_work_exit_code: 0,
  p_seen: null,
  p_run_key: null,
  p_command_sha256: null,
};

let stage: Stage;
let lock: LockCalls;
let mallory: postgres.Sql;
let holder: Identity;
let token: number;
let names: string[];

beforeAll(async () => {
  stage = await openStage({ attemptsPerSecond: 100_000 });
  lock = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
  mallory = stage.as(stage.other);
  const { me, answer } = await tryToAcquire(lock, { ttlMs: 3_600_000 });
  if (answer.outcome !== 'acquired') throw new Error('not acquired');
  [holder, token] = [me, answer.lease.fencingToken];
  // A run of app: its command's session, its child role's, and another run of it that waits.
  for (const role of [stage.app, stage.child])
    await stage.as(role, `migrate-lock:${me.instanceId}`)`SELECT 1`;
  await poll(stage.as(stage.app), { p_instance_id: newIdentity().instanceId, p_poll_interval_ms: 600_000 });
  names = [stage.app.name, stage.child.name];
});
afterAll(async () => {
  lock.database.disconnect();
  await stage.close();
});

/** What mallory must not change; the history's rows are those from before. */
async function untouchable(lastId: number) {
  const { sql } = stage.db;
  return {
    lease: await sql`SELECT * FROM migrate_lock.migration_lock`,
    waiters: await sql`SELECT * FROM migrate_lock.migration_lock_waiter WHERE db_role = ANY (${names})`,
    history: await sql`SELECT * FROM migrate_lock.migration_lock_audit WHERE id <= ${lastId} ORDER BY id`,
    chain: await sql`SELECT * FROM migrate_lock.migration_lock_chain`,
    runs: await sql`SELECT * FROM migrate_lock.migration_lock_run`,
    uncleanEnds: await sql`SELECT * FROM migrate_lock.migration_lock_unclean_end`,
    settings: await sql`SELECT * FROM migrate_lock.migration_lock_setting`,
    roles: await sql`SELECT * FROM migrate_lock.migration_lock_role ORDER BY role`,
    sessions: await sql`
      SELECT pid, usename, application_name FROM pg_stat_activity
       WHERE usename = ANY (${names}) AND datname = ${stage.db.name} ORDER BY pid`,
  };
}

async function callable(role: string): Promise<Callable[]> {
  const rows = await stage.db.sql<{ name: string; names: string[] | null; types: string[] }[]>`
    SELECT proname AS name, proargnames AS names,
           ARRAY (SELECT format_type(type, NULL) FROM unnest(proargtypes) WITH ORDINALITY AS of (type, n) ORDER BY n) AS types
      FROM pg_proc
     WHERE pronamespace = 'migrate_lock'::regnamespace AND has_function_privilege(${role}, oid, 'EXECUTE')
     ORDER BY 1`;
  return rows.map(({ name, names, types }) => ({
    name,
    parameters: types.map((type, at) => ({ name: names?.[at] ?? '', type })),
  }));
}

/** The first is valid; the others are NULL, empty, huge, negative, of a wrong JSON type, or another role's. */
function valuesOf({ type }: Parameter): unknown[] {
  switch (type) {
    case 'text':
      return [holder.instanceId, null, '', HUGE, 'ignore'];
    case 'integer':
      return [1, null, 0, -1, 2_147_483_647];
    case 'bigint':
      return [token, null, 0, -1, '9223372036854775807', '-9223372036854775808'];
    case 'boolean':
      return [false, null, true];
    case 'jsonb':
      return [{}, null, [], [[{}]], 'null', '"text"', '-1', { by: 'unlock', pid: '-1', host: [HUGE] }];
    default:
      throw new Error(`no values for the type ${type}: add some`);
  }
}

const isJson = ({ type }: Parameter) => type === 'jsonb';

function statementOf({ name, parameters }: Callable): string {
  const list = parameters.map(
    (parameter, at) => `${parameter.name} => $${at + 1}${isJson(parameter) ? '::text::jsonb' : ''}`,
  );
  return `SELECT migrate_lock.${name}(${list.join(', ')}) AS answer`;
}

/** The arguments of every call: all plausible, then one of them and two of them replaced. */
function* argumentsOf({ parameters }: Callable): Generator<unknown[]> {
  const base = parameters.map((parameter) =>
    parameter.name in PLAUSIBLE ? PLAUSIBLE[parameter.name] : valuesOf(parameter)[0],
  );
  yield base;
  for (const [one, first] of parameters.entries()) {
    for (const value of valuesOf(first)) {
      yield base.with(one, value);
      for (const [two, second] of parameters.entries()) {
        if (two <= one) continue;
        for (const other of valuesOf(second)) yield base.with(one, value).with(two, other);
      }
    }
  }
}

/** JSON that stands as text here is that text. */
function asSent(value: unknown): Arguments[string] {
  return (typeof value === 'object' && value !== null ? JSON.stringify(value) : value) as Arguments[string];
}

test('no argument of an admitted role to any function changes what another role has', async () => {
  const functions = await callable(stage.other.name);
  expect(functions.length).toBeGreaterThan(8);
  const [last] = await stage.db.sql<{ id: number }[]>`
    SELECT max(id)::int AS id FROM migrate_lock.migration_lock_audit`;
  const before = await untouchable(last?.id ?? 0);
  expect(before.sessions).toHaveLength(4);

  let calls = 0;
  const unexpected = new Map<string, string>();
  for (const candidate of functions) {
    const statement = statementOf(candidate);
    let inFlight: Promise<unknown>[] = [];
    for (const given of argumentsOf(candidate)) {
      const parameters = given.map(asSent) as (string | null)[];
      const asked = mallory.unsafe<{ answer: { outcome?: string } | null }[]>(statement, parameters, {
        prepare: true,
      });
      inFlight.push(
        asked.then(
          ([row]) => {
            if (['acquired', 'released', 'extended'].includes(row?.answer?.outcome ?? ''))
              unexpected.set(`${candidate.name} ${JSON.stringify(given).slice(0, 200)}`, JSON.stringify(row));
          },
          (error: unknown) => {
            const { code, message } = error as postgres.PostgresError;
            // Refused: by the functions, by rights, as a lease that is not held, or as an invalid number.
            if (!/^(ML001|42501|55000|23505|22003|22008|22P02|22023)$/.test(code))
              unexpected.set(`${candidate.name} ${JSON.stringify(given).slice(0, 200)}`, message);
            expect(message.length).toBeLessThan(300);
          },
        ),
      );
      calls++;
      if (inFlight.length < 100) continue;
      await Promise.all(inFlight);
      inFlight = [];
    }
    await Promise.all(inFlight);
  }
  expect(calls).toBeGreaterThan(3_000);
  expect([...unexpected]).toEqual([]);

  expect(await untouchable(last?.id ?? 0)).toEqual(before);
  expect(await lock.extend(holder, 3_600_000)).toMatchObject({ outcome: 'extended' });
  // Later rows are of mallory, and about mallory.
  const written = await stage.db.sql<
    { event: string; db_role: string; instance_id: string | null; seq: number | null }[]
  >`
    SELECT event, db_role, instance_id, chain_seq AS seq FROM migrate_lock.migration_lock_audit
     WHERE id > ${last?.id ?? 0} AND event <> 'lease.extended'`;
  for (const row of written) {
    expect(row).toMatchObject({ db_role: stage.other.name, seq: null });
    expect(row.instance_id === null || row.event === 'wait.timeout').toBe(true);
    expect(row.instance_id).not.toBe(holder.instanceId);
  }
  // It may end its own sessions.
  expect(await lock.release(holder)).toMatchObject({ outcome: 'orphans' });
}, 180_000);
