import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { LockCalls } from '../../../src/lock/calls.js';
import { openDatabase, tryToAcquire } from '../../support/lock.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { call, openStage, poll, sqlState, type Stage } from './stage.js';

/** Admitting roles, and revoking that. */

const stages: Stage[] = [];
let stage: Stage;

beforeEach(async () => {
  stage = await openStage();
  stages.push(stage);
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  for (const opened of stages) await opened.close();
});

const cli = (args: string[], url = stage.owner.url) =>
  runCli(args, { env: { DATABASE_URL: url }, auditOnly: false });
const run = async ({ url }: { url: string }) =>
  (await cli(['run', '--wait-timeout', '2s', '--', 'true'], url)).code;

/** The rights of a role on the lock. */
const rights = async (role: string) => {
  const rows = await stage.db.sql<{ name: string }[]>`
    SELECT proname AS name FROM pg_proc
     WHERE pronamespace = 'migrate_lock'::regnamespace AND has_function_privilege(${role}, oid, 'EXECUTE')
     UNION ALL SELECT 'USAGE' WHERE has_schema_privilege(${role}, 'migrate_lock', 'USAGE')
     UNION ALL SELECT relname FROM pg_class
      WHERE relnamespace = 'migrate_lock'::regnamespace AND relkind = 'r' AND has_table_privilege(${role}, oid, 'SELECT, INSERT')
     ORDER BY 1`;
  return rows.map(({ name }) => name);
};

describe('init --revoke', () => {
  test('revokes a role and its child roles, and admitting another role does not restore them', async () => {
    const { app, child, other } = stage;
    expect(await run(app)).toBe(0);
    const { code, stderr } = await cli(['init', '--revoke', app.name]);
    expect(code).toBe(0);
    expect(stderr).toContain(`${app.name} may no longer use the lock`);
    for (const admission of [[], ['--grant-to', other.name], ['--max-ttl', '1h']]) {
      expect((await cli(['init', ...admission])).code).toBe(0);
      expect(await rights(app.name)).toEqual([]);
      expect(await rights(child.name)).toEqual([]);
      expect(await run(app)).toBe(77);
      expect(await run(other)).toBe(0);
    }
    // Until it is admitted again.
    expect((await cli(['init', '--grant-to', app.name])).code).toBe(0);
    expect(await run(app)).toBe(0);
  });

  test('the revoked role cannot release its lease, which expires', async () => {
    const lock = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
    const { me } = await tryToAcquire(lock);
    expect((await cli(['init', '--revoke', stage.app.name])).code).toBe(0);
    expect(await sqlState(lock.release(me))).toBe('42501');
    expect(await sqlState(lock.extend(me, 1_000))).toBe('42501');
    const status = await call<{ state: string }>(stage.as(stage.other), 'status', {});
    expect(status).toMatchObject({ state: 'held' });
    lock.database.disconnect();
  });

  test('with --child-role revokes the child role only', async () => {
    const { app, child } = stage;
    const second = await stage.db.createRole();
    expect(
      (await cli(['init', '--grant-to', app.name, '--child-role', child.name, '--child-role', second.name]))
        .code,
    ).toBe(0);
    const { code, stderr } = await cli(['init', '--revoke', app.name, '--child-role', child.name]);
    expect(code).toBe(0);
    expect(stderr).toContain(`${child.name} is no longer a child role of ${app.name}`);
    expect(await rights(child.name)).toEqual([]);
    expect(await rights(second.name)).toEqual(['USAGE', 'assert_held', 'version']);
    expect(await run(app)).toBe(0);
    // Its sessions belong to no role now.
    const lock = new LockCalls(openDatabase(app.url), 'migrate_lock');
    const { me, answer } = await tryToAcquire(lock);
    if (answer.outcome !== 'acquired') throw new Error('not acquired');
    const stranger = stage.as(child, `migrate-lock:${me.instanceId}`);
    const token = answer.lease.fencingToken;
    expect(await sqlState(stranger`SELECT migrate_lock.assert_held(${me.instanceId}, ${token})`)).toBe(
      '42501',
    );
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    lock.database.disconnect();
  });

  test('of a child role as a role revokes both; a child role of two roles stays with the other', async () => {
    const { app, child, other } = stage;
    expect((await cli(['init', '--grant-to', other.name, '--child-role', child.name])).code).toBe(0);
    expect((await cli(['init', '--revoke', app.name])).code).toBe(0);
    expect(await rights(child.name)).toEqual(['USAGE', 'assert_held', 'version']);
    expect((await cli(['init', '--revoke', child.name])).code).toBe(0);
    expect(await rights(child.name)).toEqual([]);
  });

  test('without a role: 64', async () => {
    const { code, stderr } = await cli(['init', '--revoke', 'nobody at all']);
    expect(code).toBe(64);
    expect(stderr).toContain('here is no role nobody at all');
  });

  test('is for the owner only', async () => {
    expect((await cli(['init', '--revoke', stage.app.name], stage.other.url)).code).toBe(77);
    expect(await run(stage.app)).toBe(0);
  });
});

describe('rights that the owner revoked by hand', () => {
  test('stay revoked when another role is admitted, and when the schema is completed', async () => {
    const { db, owner, app, other } = stage;
    await db.sql.unsafe(`REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA migrate_lock FROM ${app.name};
                         REVOKE ALL ON SCHEMA migrate_lock FROM ${app.name}`);
    expect((await cli(['init', '--grant-to', other.name])).code).toBe(0);
    await stage.as(
      owner,
    )`SELECT migrate_lock.grant_functions(role) FROM migrate_lock.migration_lock_role WHERE role IN (SELECT oid FROM pg_roles)`;
    expect(await rights(app.name)).toEqual([]);
    expect(await run(app)).toBe(77);
  });

  test('are revoked for one function; the others stay', async () => {
    const { db, app, other } = stage;
    await db.sql.unsafe(`REVOKE EXECUTE ON FUNCTION migrate_lock.chain FROM ${app.name}`);
    expect((await cli(['init', '--grant-to', other.name])).code).toBe(0);
    await stage.as(
      stage.owner,
    )`SELECT migrate_lock.grant_functions(role) FROM migrate_lock.migration_lock_role WHERE role IN (SELECT oid FROM pg_roles)`;
    expect(await rights(app.name)).not.toContain('chain');
    expect(await run(app)).toBe(0);
  });
});

test('a role that is dropped and created again is not admitted', async () => {
  const { db, other, owner } = stage;
  const gone = await db.createRole();
  expect((await cli(['init', '--grant-to', gone.name])).code).toBe(0);
  expect((await cli(['init', '--grant-to', other.name, '--child-role', gone.name])).code).toBe(0);
  await db.sql.unsafe(
    `DROP OWNED BY ${gone.name}; DROP ROLE ${gone.name}; CREATE ROLE ${gone.name} LOGIN PASSWORD 'again'`,
  );
  const again = Object.assign(new URL(gone.url), { password: 'again' }).href;
  expect((await cli(['init', '--grant-to', stage.app.name])).code).toBe(0);
  await stage.as(
    owner,
  )`SELECT migrate_lock.grant_functions(role) FROM migrate_lock.migration_lock_role WHERE role IN (SELECT oid FROM pg_roles)`;
  expect(await rights(gone.name)).toEqual([]);
  expect(await run({ url: again })).toBe(77);
  // Its sessions belong to no lease either.
  const lock = new LockCalls(openDatabase(other.url), 'migrate_lock');
  const { me } = await tryToAcquire(lock);
  const pretender = stage.as({ name: gone.name, url: again }, `migrate-lock:${me.instanceId}`);
  await pretender`SELECT 1`;
  expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
  lock.database.disconnect();
});

test('an error names the role that can admit, or that can do what only the owner can', async () => {
  const { owner, app, stranger } = stage;
  await poll(stage.as(app), { p_instance_id: 'x' });
  for (const [args, url] of [
    [['run', '--', 'true'], stranger.url],
    [['unlock', '--force', '--instance', 'x'], app.url],
    [['cleanup', '--keep', '1d'], app.url],
    [['init', '--max-ttl', '1h'], app.url],
  ] as const) {
    const { code, stderr } = await cli([...args], url);
    expect({ args, code }).toEqual({ args, code: 77 });
    expect(stderr).toContain(`owner of the lock schema "migrate_lock", the role ${owner.name}`);
  }
});

describe('a group role', () => {
  test('is not admitted: 64, with the reason', async () => {
    const group = await stage.db.createRole();
    await stage.db.sql.unsafe(`ALTER ROLE ${group.name} NOLOGIN`);
    const { code, stderr } = await cli(['init', '--grant-to', group.name]);
    expect(code).toBe(64);
    expect(stderr).toContain('it is a group');
    expect(await rights(group.name)).toEqual([]);
  });

  test('a member of an admitted role has no rate limit of its own, and is refused', async () => {
    const member = await stage.db.createRole();
    await stage.db.sql.unsafe(`GRANT ${stage.app.name} TO ${member.name}`);
    const sql = stage.as(member);
    const cleanUp = () => sqlState(call(sql, 'cleanup', { p_orphans: 'terminate', p_seen: null }));
    expect(await sqlState(poll(sql))).toBe('42501');
    expect(await cleanUp()).toBe('42501');
    await sql.unsafe(`SET ROLE ${stage.app.name}`);
    expect(await sqlState(poll(sql))).toBe('42501');
    expect(await cleanUp()).toBe('42501');
    expect((await cli(['cleanup'], member.url)).code).toBe(77);
    const { code, stderr } = await cli(['run', '--', 'true'], member.url);
    expect(code).toBe(77);
    expect(stderr).toContain(`${member.name} is not admitted`);
    expect((await cli(['init', '--grant-to', member.name])).code).toBe(0);
    expect(await run(member)).toBe(0);
    expect((await cli(['cleanup'], member.url)).code).toBe(0);
  });
});

test('history --verify finds a removed admission', async () => {
  const { db, app } = stage;
  for (const event of ['lock.role_admitted', 'lock.configured', 'lock.role_expelled']) {
    await cli(['init', '--max-ttl', '1h']);
    await cli(['init', '--revoke', app.name]);
    await cli(['init', '--grant-to', app.name]);
    expect((await cli(['history', '--verify'], app.url)).code).toBe(0);
    await db.sql.unsafe(`
      ALTER TABLE migrate_lock.migration_lock_audit DISABLE TRIGGER ALL;
      CREATE TABLE public.kept AS SELECT * FROM migrate_lock.migration_lock_audit WHERE id = (
        SELECT max(id) FROM migrate_lock.migration_lock_audit WHERE event = '${event}');
      DELETE FROM migrate_lock.migration_lock_audit WHERE id = (SELECT id FROM public.kept)`);
    const { code, stderr } = await cli(['history', '--verify'], app.url);
    expect({ event, code, stderr }).toMatchObject({ code: 65 });
    await db.sql.unsafe(`
      INSERT INTO migrate_lock.migration_lock_audit OVERRIDING SYSTEM VALUE SELECT * FROM public.kept; DROP TABLE public.kept;
      ALTER TABLE migrate_lock.migration_lock_audit ENABLE TRIGGER ALL`);
  }
}, 60_000);
