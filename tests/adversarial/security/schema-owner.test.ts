import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { readOwners } from '../../../src/schema/owners.js';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';

/** A superuser with another role's lock, and with its own. */

const databases: TestDatabase[] = [];
let db: TestDatabase;
let owner: TestRole;
let app: TestRole;

beforeEach(async () => {
  db = await createDatabase();
  databases.push(db);
  [owner, app] = [await db.createRole(), await db.createRole()];
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  for (const database of databases) await database.drop();
});

const cli = (args: string[], url = db.url) => runCli(args, { env: { DATABASE_URL: url }, auditOnly: false });

/** The owner of the schema and of everything in it. */
const owners = async () => {
  const rows = await db.sql<{ owner: string }[]>`
    SELECT DISTINCT pg_get_userbyid(owner) AS owner FROM (
      SELECT nspowner FROM pg_namespace WHERE nspname = 'migrate_lock'
      UNION ALL SELECT relowner FROM pg_class WHERE relnamespace = 'migrate_lock'::regnamespace
      UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'migrate_lock'::regnamespace
      UNION ALL SELECT typowner FROM pg_type WHERE typnamespace = 'migrate_lock'::regnamespace) AS object (owner)`;
  return rows.map((row) => row.owner);
};

describe('a superuser, and a schema that belongs to lockowner', () => {
  test('init in the empty schema creates everything as lockowner, and admits roles', async () => {
    await db.sql.unsafe(`CREATE SCHEMA migrate_lock AUTHORIZATION ${owner.name}`);
    const refused = await cli(['init', '--grant-to', app.name]);
    expect(refused.code).toBe(77);
    expect(refused.stderr).toContain(`Connect as ${owner.name}`);
    expect(await owners()).toEqual([owner.name]);
    expect((await cli(['init'])).code).toBe(77);
    expect((await cli(['init', '--grant-to', app.name], owner.url)).code).toBe(0);
    expect((await cli(['run', '--', 'true'], app.url)).code).toBe(0);
    expect((await cli(['run', '--', 'true'], owner.url)).code).toBe(0);
    expect(await owners()).toEqual([owner.name]);
  });

  test('init alone succeeds the first time', async () => {
    await db.sql.unsafe(`CREATE SCHEMA migrate_lock AUTHORIZATION ${owner.name}`);
    expect((await cli(['init'])).code).toBe(0);
    expect(await owners()).toEqual([owner.name]);
  });

  test('run, unlock, cleanup, assert and init are refused, and name the role to connect as; status and history work', async () => {
    expect((await cli(['init', '--grant-to', app.name], owner.url)).code).toBe(0);
    const run = startCli(['run', '--ttl', '10m', '--', 'sleep', '1000'], { env: { DATABASE_URL: app.url } });
    const { instanceId } = await run.waitForEvent('child.started');
    const waiter = startCli(['run', '--wait-timeout', '10m', '--', 'true'], {
      env: { DATABASE_URL: app.url },
    });
    await waiter.waitForEvent('lock.waiting');

    const status = JSON.parse((await cli(['status', '--json'])).stdout) as Record<string, unknown>;
    expect(status).toMatchObject({
      state: 'held',
      lease: { instanceId, dbRole: app.name },
      waiters: [{ dbRole: app.name }],
    });
    const asOwner = JSON.parse((await cli(['status', '--json'], owner.url)).stdout) as Record<
      string,
      unknown
    >;
    const { lease, waiters } = asOwner as { lease: object; waiters: object[] };
    expect(Object.keys(status)).toEqual(Object.keys(asOwner));
    expect(Object.keys(status.lease as object).sort()).toEqual(Object.keys(lease).sort());
    expect(Object.keys((status.waiters as object[])[0] ?? {}).sort()).toEqual(
      Object.keys(waiters[0] ?? {}).sort(),
    );
    expect((await cli(['history', '--json'])).stdout).toBe(
      (await cli(['history', '--json'], owner.url)).stdout,
    );
    expect((await cli(['history'])).stdout).toContain(app.name);

    for (const args of [
      ['run', '--', 'true'],
      ['unlock'],
      ['unlock', '--force', '--instance', instanceId],
      ['cleanup'],
      ['init'],
      ['init', '--max-ttl', '1h'],
      ['init', '--revoke', app.name],
      ['history', '--verify'],
    ]) {
      const { code, stderr } = await cli(args);
      expect({ args, code, stderr }).toEqual({
        args,
        code: 77,
        stderr: expect.stringContaining(`Connect as ${owner.name}`),
      });
    }
    expect(JSON.parse((await cli(['status', '--json'])).stdout)).toMatchObject({
      state: 'held',
      lease: { instanceId },
    });
    waiter.kill('SIGTERM');
    run.kill('SIGTERM');
    await Promise.all([run.done, waiter.done]);
  });

  test.each(['a trigger function', 'a function that grants'])(
    'an upgrade does not execute it: %s',
    async (what) => {
      expect((await cli(['init'], owner.url)).code).toBe(0);
      const grab = `EXECUTE 'RESET ROLE'; EXECUTE 'ALTER ROLE ${owner.name} SUPERUSER'`;
      await db.sql.unsafe(
        `SET ROLE ${owner.name};
       CREATE OR REPLACE FUNCTION migrate_lock.${what.includes('trigger') ? 'refuse_audit_change() RETURNS trigger' : 'grant_functions(p_role oid) RETURNS void'}
         LANGUAGE plpgsql AS $$ BEGIN ${grab}; END $$;
       UPDATE migrate_lock.migration_lock_version SET version = 0; RESET ROLE`,
      );
      const { code, stderr } = await cli(['init']);
      expect(code).toBe(77);
      expect(stderr).toContain(`Connect as ${owner.name}`);
      const [row] = await db.sql`SELECT rolsuper FROM pg_roles WHERE rolname = ${owner.name}`;
      expect(row).toEqual({ rolsuper: false });
    },
  );
});

test('a role that is neither the owner nor admitted cannot apply the schema, and the error names the owner', async () => {
  await db.sql.unsafe(
    `CREATE SCHEMA migrate_lock AUTHORIZATION ${owner.name}; GRANT ALL ON DATABASE ${db.name} TO ${app.name}`,
  );
  const { code, stderr } = await cli(['init'], app.url);
  expect(code).toBe(77);
  expect(stderr).toContain(`only ${owner.name} can apply`);
});

test('no error says to connect as pg_database_owner, the owner of public', async () => {
  await db.sql`CREATE TABLE public.app ()`;
  const refused = await cli(['run', '--schema', 'public', '--', 'true']);
  expect(refused).toMatchObject({ code: 77 });
  expect(refused.stderr).not.toContain('Connect as');
  expect(refused.stderr).toContain('se a schema of the lock alone, with --schema');
});

test('a superuser who created the lock can use it, and so can the roles that they admit', async () => {
  expect((await cli(['run', '--', 'true'])).code).toBe(0);
  expect((await cli(['init', '--grant-to', app.name])).code).toBe(0);
  const held = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: app.url } });
  const { instanceId } = await held.waitForEvent('child.started');
  expect((await cli(['status'])).stdout).toContain(instanceId);
  expect((await cli(['unlock', '--force', '--instance', instanceId])).code).toBe(0);
  held.kill('SIGTERM');
  await held.done;
  expect((await cli(['history', '--verify'])).code).toBe(0);
  expect((await cli(['cleanup', '--keep', '1d'])).code).toBe(0);
  expect((await cli(['run', '--', 'true'])).code).toBe(0);
});

describe("a member of a superuser's role", () => {
  let dba: TestRole;
  beforeEach(async () => {
    dba = await db.createRole();
    await db.sql.unsafe(`GRANT postgres TO ${dba.name}; GRANT CREATE ON DATABASE ${db.name} TO ${dba.name}`);
  });

  test("calls no function of another role, which could leave a cursor that runs with the member's rights", async () => {
    expect((await cli(['init', '--grant-to', dba.name], owner.url)).code).toBe(0);
    await db.sql.unsafe(`
      CREATE SCHEMA loot; GRANT USAGE, CREATE ON SCHEMA loot TO ${owner.name}; GRANT USAGE ON SCHEMA loot TO PUBLIC;
      SET ROLE ${owner.name};
      CREATE FUNCTION loot.steal() RETURNS int LANGUAGE plpgsql AS $$
        BEGIN SET ROLE postgres; ALTER ROLE ${owner.name} SUPERUSER; RESET ROLE; RETURN 1; END $$;
      CREATE OR REPLACE FUNCTION migrate_lock.version() RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
          EXECUTE 'DECLARE trap CURSOR WITH HOLD FOR SELECT loot.steal()';
          RETURN '{"version": 1, "oldestProgram": 1}';
        END $$;
      RESET ROLE`);
    for (const args of [['init'], ['run', '--', 'true'], ['unlock'], ['cleanup'], ['history', '--verify']]) {
      const { code, stderr } = await cli(args, dba.url);
      expect({ args, code, stderr }).toEqual({
        args,
        code: 77,
        stderr: expect.stringContaining(`Connect as ${owner.name}`),
      });
    }
    const rows = await db.sql`SELECT rolsuper FROM pg_roles WHERE rolname = ${owner.name}`;
    expect(rows).toEqual([{ rolsuper: false }]);
  });

  test('uses a lock that it owns', async () => {
    expect((await cli(['init', '--grant-to', app.name], dba.url)).code).toBe(0);
    expect((await cli(['run', '--', 'true'], dba.url)).code).toBe(0);
    expect((await cli(['run', '--', 'true'], app.url)).code).toBe(0);
  });
});

test('each function that a run calls is refused when its owner lets it run with the rights of the caller', async () => {
  expect((await cli(['init', '--grant-to', app.name], owner.url)).code).toBe(0);
  const granted = await db.sql<{ name: string; signature: string }[]>`
    SELECT proname AS name, oid::regprocedure::text AS signature FROM pg_proc
     WHERE pronamespace = 'migrate_lock'::regnamespace AND proname <> 'grant_functions'
       AND has_function_privilege(${app.name}, oid, 'EXECUTE')`;
  expect(granted.map(({ name }) => name)).toEqual(expect.arrayContaining(['poll', 'unblock', 'settle']));
  const session = postgres(app.url, { max: 1 });
  for (const { name, signature } of granted) {
    await db.sql.unsafe(`ALTER FUNCTION ${signature} SECURITY INVOKER`);
    const found = await readOwners(session, 'migrate_lock');
    expect(found?.withOurRights).toEqual([expect.stringContaining(`migrate_lock.${name}(`)]);
    await db.sql.unsafe(`ALTER FUNCTION ${signature} SECURITY DEFINER`);
  }
  await session.end();
});
