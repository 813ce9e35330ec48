import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { FUNCTIONS, STEPS } from '../../../src/generated/sql.js';
import { newIdentity } from '../../../src/lock/lease.js';
import { LockCalls } from '../../../src/lock/calls.js';
import { openDatabase, tryToAcquire } from '../../support/lock.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { call, openStage, poll, sqlState, type Stage } from './stage.js';

const DENIED = '42501';
const TABLES = [
  'migration_lock',
  'migration_lock_assertion',
  'migration_lock_audit',
  'migration_lock_chain',
  'migration_lock_client',
  'migration_lock_role',
  'migration_lock_run',
  'migration_lock_setting',
  'migration_lock_unclean_end',
  'migration_lock_version',
  'migration_lock_waiter',
  'migration_lock_watcher',
];
const USED = [
  'activity',
  'assert_held',
  'blocking',
  'chain',
  'cleanup',
  'extend',
  'history',
  'leave',
  'poll',
  'read_run_key',
  'release',
  'settle',
  'status',
  'unblock',
  'version',
  'watch',
];
const TRIGGER_FUNCTIONS = ['record_manipulation', 'refuse_audit_change'];
/** How many functions the lock schema has. */
const DEFINED = [...STEPS.flatMap(({ files }) => files), ...FUNCTIONS]
  .map(({ sql }) => sql.match(/^CREATE (OR REPLACE )?FUNCTION /gm)?.length ?? 0)
  .reduce((sum, count) => sum + count, 0);

let stage: Stage;
let app: postgres.Sql;
let lock: LockCalls;

beforeAll(async () => {
  stage = await openStage({ maxTtlMs: 3_600_000 });
  app = stage.as(stage.app);
  lock = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
});
afterAll(async () => {
  lock.database.disconnect();
  await assertNothingLeft();
  await stage.close();
});

describe('an admitted role', () => {
  test('can run, wait, extend, and read the state and the history', async () => {
    const env = { DATABASE_URL: stage.app.url };
    const { code, events } = await runCli(['run', '--', 'true'], { env });
    expect(code).toBe(0);
    expect(events.map(({ event }) => event)).toContain('lock.released');
    const { me, answer } = await tryToAcquire(lock);
    expect(answer.outcome).toBe('acquired');
    expect((await tryToAcquire(lock)).answer.outcome).toBe('held');
    expect(await lock.extend(me, 60_000)).toMatchObject({ outcome: 'extended' });
    expect(await lock.status()).toMatchObject({ state: 'held' });
    expect((await lock.history(10, null)).length).toBeGreaterThan(3);
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    expect(await runCli(['history', '--verify'], { env })).toMatchObject({ code: 0 });
  });

  test.each(TABLES)('has no right on the table %s', async (table) => {
    const name = app`migrate_lock.${app(table)}`;
    const [column] = await stage.db.sql<{ name: string }[]>`
      SELECT attname AS name FROM pg_attribute WHERE attrelid = ${`migrate_lock.${table}`}::regclass AND attnum = 1`;
    // One of them has no column.
    const update = column === undefined ? [] : [app`UPDATE ${name} SET ${app(column.name)} = DEFAULT`];
    for (const attempt of [
      app`SELECT * FROM ${name}`,
      app`INSERT INTO ${name} DEFAULT VALUES`,
      ...update,
      app`SELECT FROM ${name} FOR UPDATE`,
      app.unsafe(`DO $$ BEGIN LOCK TABLE migrate_lock.${table} IN ACCESS SHARE MODE; END $$`),
      app.unsafe(`DO $$ BEGIN LOCK TABLE migrate_lock.${table} IN SHARE ROW EXCLUSIVE MODE; END $$`),
      app`DELETE FROM ${name}`,
      app`TRUNCATE ${name}`,
    ])
      expect(await sqlState(attempt)).toBe(DENIED);
  });

  test('has no right on a sequence, and may execute only the functions that it needs', async () => {
    const rights = await stage.db.sql<{ name: string }[]>`
      SELECT seqrelid::regclass::text AS name FROM pg_sequence
       WHERE has_sequence_privilege(${stage.app.name}, seqrelid, 'USAGE, SELECT, UPDATE')`;
    expect(rights).toHaveLength(0);
    const functions = await stage.db.sql<{ name: string }[]>`
      SELECT DISTINCT proname AS name FROM pg_proc
       WHERE pronamespace = 'migrate_lock'::regnamespace AND has_function_privilege(${stage.app.name}, oid, 'EXECUTE')
       ORDER BY 1`;
    expect(functions.map(({ name }) => name)).toEqual(USED);
  });

  test('cannot create, alter or drop anything in the lock schema', async () => {
    for (const statement of [
      'CREATE TABLE migrate_lock.mine (id int)',
      'CREATE FUNCTION migrate_lock.version(int) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
      'ALTER TABLE migrate_lock.migration_lock DISABLE TRIGGER ALL',
      'DROP FUNCTION migrate_lock.status()',
      'DROP SCHEMA migrate_lock CASCADE',
    ])
      expect([statement, await sqlState(app.unsafe(statement))]).toEqual([statement, DENIED]);
  });

  test('cannot unlock, remove history, or change the rules', async () => {
    const { me } = await tryToAcquire(lock);
    const functions = await stage.db.sql<{ call: string }[]>`
      SELECT format('SELECT migrate_lock.%I(%s)', proname, (
               SELECT string_agg(format('NULL::%s', format_type(type, NULL)), ', ') FROM unnest(proargtypes) AS type)) AS call
        FROM pg_proc
       WHERE pronamespace = 'migrate_lock'::regnamespace AND NOT proname = ANY (${USED}) AND prorettype <> 'trigger'::regtype`;
    // All functions except those that it may call and triggers.
    expect(functions).toHaveLength(DEFINED - USED.length - TRIGGER_FUNCTIONS.length);
    for (const { call } of functions)
      expect([call, await sqlState(app.unsafe(call))]).toEqual([call, DENIED]);
    const env = { DATABASE_URL: stage.app.url };
    const unlock = await runCli(['unlock', '--force', '--instance', me.instanceId], {
      env,
      auditOnly: false,
    });
    expect(unlock).toMatchObject({ code: 77 });
    await lock.release(me);
  });

  test("cannot use the lock's trigger functions on a table of its own", async () => {
    await app`CREATE TEMP TABLE mine (id int)`;
    for (const name of TRIGGER_FUNCTIONS) {
      const statement = `CREATE TRIGGER forged AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION migrate_lock.${name}()`;
      expect(await sqlState(app.unsafe(statement))).toBe(DENIED);
    }
  });

  test("cannot release, extend or take over another role's lease", async () => {
    const { me } = await tryToAcquire(lock);
    const thief = new LockCalls(openDatabase(stage.other.url), 'migrate_lock');
    const forged = { instanceId: me.instanceId, secret: newIdentity().secret };
    expect(await thief.release(forged)).toEqual({ outcome: 'refused' });
    expect(await thief.extend(forged, 60_000)).toEqual({ outcome: 'refused' });
    expect(await thief.leave(forged, 5_000)).toEqual({ outcome: 'left' });
    expect((await tryToAcquire(thief, { me: forged })).answer.outcome).toBe('held');
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    thief.database.disconnect();
  });

  test("cannot remove another role's waiter from the queue", async () => {
    const { me: holder } = await tryToAcquire(lock);
    const { instanceId: p_instance_id, secret: p_secret } = newIdentity();
    await poll(app, { p_instance_id, p_secret });
    const other = stage.as(stage.other);
    for (const guess of ['x', p_secret]) {
      await call(other, 'leave', { p_instance_id, p_secret: guess });
      await poll(other, { p_instance_id, p_secret: guess, p_last: true });
    }
    expect((await lock.status()).waiters).toMatchObject([
      { instanceId: p_instance_id, dbRole: stage.app.name },
    ]);
    await call(app, 'leave', { p_instance_id, p_secret });
    expect((await lock.status()).waiters).toEqual([]);
    await lock.release(holder);
  });
});

describe('search_path and pg_temp', () => {
  test('the functions use no object that the caller shadows', async () => {
    const evil = stage.as(stage.app);
    await stage.db.sql.unsafe(
      `CREATE SCHEMA IF NOT EXISTS evil; GRANT ALL ON SCHEMA evil TO ${stage.app.name}`,
    );
    await evil.unsafe(`
      CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$;
      CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$;
      CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
      CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
      CREATE TABLE evil.migration_lock_setting (max_ttl_ms bigint);
      CREATE TEMP TABLE migration_lock (LIKE pg_class);
      CREATE TEMP TABLE migration_lock_setting (max_ttl_ms bigint);
      CREATE TYPE pg_temp.jsonb AS (a int);
      SET search_path = pg_temp, evil, pg_catalog`);
    const { me } = await tryToAcquire(lock);
    const ask = (statement: string) => evil.unsafe<{ answer: string }[]>(statement);
    const [released] = await ask(
      `SELECT migrate_lock.release('${me.instanceId}', 'guess', 'holder', 'wait', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::pg_catalog.text AS answer`,
    );
    expect(released?.answer).toBe('{"outcome": "refused"}');
    const [polled] = await ask(
      `SELECT migrate_lock.poll(1, 'mine', 's', 1000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'wait', NULL, 1000, true, false)::pg_catalog.text AS answer`,
    );
    expect(polled?.answer).toContain('"outcome": "held"');
    expect(await sqlState(ask(`SELECT migrate_lock.extend('x', 'y', 3600001)`))).toBe('ML001');
    await lock.release(me);
  });

  test('a caller cannot create a cast between types of other roles', async () => {
    const caster = stage.as(stage.app);
    await caster.unsafe(`CREATE FUNCTION pg_temp.lie(jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$`);
    const cast = 'CREATE CAST (jsonb AS text) WITH FUNCTION pg_temp.lie(jsonb) AS IMPLICIT';
    expect(await sqlState(caster.unsafe(cast))).toBe(DENIED);
  });

  test('every SECURITY DEFINER function of the lock has a search_path of its own', async () => {
    const open = await stage.db.sql`
      SELECT proname FROM pg_proc
       WHERE pronamespace = 'migrate_lock'::regnamespace AND prosecdef
         AND (proconfig IS NULL OR NOT 'search_path=pg_catalog, pg_temp' = ANY (proconfig))`;
    expect(open).toEqual([]);
    const everybody = await stage.db.sql`
      SELECT proname FROM pg_proc
       WHERE pronamespace = 'migrate_lock'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')`;
    expect(everybody).toEqual([]);
  });
});

describe('a role that is not admitted', () => {
  test.each([[['run', '--', 'true']], [['status']], [['history']], [['cleanup']]])(
    '%j: 77, and one sentence that says what to do',
    async (args) => {
      const env = { DATABASE_URL: stage.stranger.url };
      const { code, stderr } = await runCli(args, { env, auditOnly: args[0] === 'run' });
      expect(code).toBe(77);
      expect(stderr.trim().split('\n')).toHaveLength(2);
      expect(stderr).toContain('lacks a right');
    },
  );
});
