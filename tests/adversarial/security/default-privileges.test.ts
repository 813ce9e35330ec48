import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { runCli } from '../../support/run-cli.js';

/** Rights from the owner's default privileges are revoked: with them, others could read, write and unlock. */

let db: TestDatabase;
let owner: TestRole;
let reader: TestRole;
let app: TestRole;
let child: TestRole;

beforeAll(async () => {
  db = await createDatabase();
  [owner, reader, app, child] = await Promise.all([
    db.createRole(),
    db.createRole(),
    db.createRole(),
    db.createRole(),
  ]);
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
  for (const [right, objects] of [
    ['USAGE', 'SCHEMAS'],
    ['ALL', 'TABLES'],
    ['ALL', 'SEQUENCES'],
    ['EXECUTE', 'FUNCTIONS'],
  ] as const) {
    await db.sql.unsafe(`
      ALTER DEFAULT PRIVILEGES FOR ROLE ${owner.name}
      GRANT ${right} ON ${objects} TO ${reader.name}, ${app.name}, ${child.name}, PUBLIC`);
  }
});
afterEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await db.sql.unsafe(`DROP OWNED BY ${owner.name}`);
  await db.drop();
});

const cli = (args: string[], url = owner.url) =>
  runCli(args, { env: { DATABASE_URL: url }, auditOnly: false });

/** Everything in the lock that the role has a right on. */
async function rights(role: string): Promise<string[]> {
  const rows = await db.sql<{ name: string }[]>`
    WITH home AS (SELECT 'migrate_lock'::regnamespace AS oid), granted AS (
      SELECT 'schema' AS name, nspacl AS acl, nspowner AS owner FROM pg_namespace WHERE oid = (SELECT oid FROM home)
      UNION ALL SELECT relname, relacl, relowner FROM pg_class WHERE relnamespace = (SELECT oid FROM home)
      UNION ALL SELECT proname, proacl, proowner FROM pg_proc WHERE pronamespace = (SELECT oid FROM home))
    SELECT DISTINCT name FROM granted, aclexplode(acl) AS given
     WHERE given.grantee = CASE ${role} WHEN 'PUBLIC' THEN 0 ELSE (SELECT oid FROM pg_roles WHERE rolname = ${role}) END
     ORDER BY name`;
  return rows.map(({ name }) => name);
}

const ADMITTED =
  'activity assert_held blocking chain cleanup extend history leave poll read_run_key release schema settle status unblock version watch';

describe.each([
  ['init creates', () => cli(['init'])],
  ['the first run creates', () => cli(['run', '--', 'true'])],
  [
    'the printed script creates',
    async () => {
      const { stdout, code } = await cli(['init', '--print']);
      const session = await db.sql.reserve();
      await session.unsafe(`SET ROLE ${owner.name}; ${stdout}; RESET ROLE`);
      session.release();
      return { code };
    },
  ],
] as const)('a lock that %s', (_, create) => {
  test('gives no right by default privileges, and gives admitted roles their rights', async () => {
    expect((await create()).code).toBe(0);
    for (const role of [reader.name, app.name, child.name, 'PUBLIC']) expect(await rights(role)).toEqual([]);
    const { code } = await cli(['init', '--grant-to', app.name, '--child-role', child.name]);
    expect(code).toBe(0);
    expect(await rights(app.name)).toEqual(ADMITTED.split(' '));
    expect(await rights(child.name)).toEqual(['assert_held', 'schema', 'version']);
    for (const role of [reader.name, 'PUBLIC']) expect(await rights(role)).toEqual([]);
    expect((await cli(['run', '--', 'true'], app.url)).code).toBe(0);
  });
});

test('rights granted by hand, and those of admitted roles, survive an upgrade', async () => {
  const auditor = await db.createRole();
  expect((await cli(['init', '--grant-to', app.name, '--child-role', child.name])).code).toBe(0);
  await db.sql.unsafe(`GRANT USAGE ON SCHEMA migrate_lock TO ${auditor.name};
                       GRANT SELECT ON migrate_lock.migration_lock_audit TO ${auditor.name}`);
  const { stdout } = await cli(['init', '--print']);
  const last = stdout.slice(stdout.indexOf('-- functions/rights.sql'), stdout.lastIndexOf('COMMIT'));
  const session = await db.sql.reserve();
  await session.unsafe(`SET ROLE ${owner.name}; ${last}; RESET ROLE`);
  session.release();
  expect(await rights(app.name)).toEqual(ADMITTED.split(' '));
  expect(await rights(child.name)).toEqual(['assert_held', 'schema', 'version']);
  expect(await rights(auditor.name)).toEqual(['migration_lock_audit', 'schema']);
  await db.sql.unsafe(`DROP OWNED BY ${auditor.name}`);
});
