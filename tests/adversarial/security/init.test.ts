import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { runCli } from '../../support/run-cli.js';
import { catalogOf } from '../../integration/cli/catalog.js';

let db: TestDatabase;
let printed: TestDatabase;

beforeAll(async () => {
  [db, printed] = await Promise.all([createDatabase(), createDatabase()]);
});
afterEach(async () => {
  for (const { sql } of [db, printed]) await sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await db.drop();
  await printed.drop();
});

const init = (args: string[], url = db.url) => runCli(['init', ...args], { env: { DATABASE_URL: url } });
const print = (args: string[]) => runCli(['init', '--print', ...args], { auditOnly: false });
/** As psql does: one session, and a transaction that the script begins and ends itself. */
async function apply(script: string): Promise<void> {
  const session = await printed.sql.reserve();
  await session.unsafe(script);
  session.release();
}

const settings = async ({ sql }: TestDatabase) => [
  ...(await sql`SELECT max_ttl_ms, attempts_per_second FROM migrate_lock.migration_lock_setting`),
];

/** The roles that may use the lock, without its owner. */
const admitted = async (sql: postgres.Sql) => [
  ...(await sql`
    SELECT pg_get_userbyid(role) AS role, ARRAY (SELECT pg_get_userbyid(unnest(child_roles))::text) AS children
      FROM migrate_lock.migration_lock_role
     WHERE role <> 0`),
];

describe('init --grant-to', () => {
  test('--print prints the statements that it executes', async () => {
    const [role, child] = [await db.createRole(), await db.createRole()];
    const args = [
      '--grant-to',
      role.name,
      '--child-role',
      child.name,
      '--max-ttl',
      '1h',
      '--rate-limit',
      '7',
    ];
    expect((await init(args)).code).toBe(0);
    await apply((await print(args)).stdout);
    expect(await catalogOf(printed.sql, 'migrate_lock')).toEqual(await catalogOf(db.sql, 'migrate_lock'));
    expect(await settings(db)).toEqual([{ max_ttl_ms: '3600000', attempts_per_second: 7 }]);
    expect(await settings(printed)).toEqual(await settings(db));
    for (const { sql } of [db, printed])
      expect(await admitted(sql)).toEqual([{ role: role.name, children: [child.name] }]);
  });

  test('quotes any role name', async () => {
    const name = `a"b'c $$ $body$ \\ ; -- /* $1 "migrate_lock" ü`;
    await db.sql.unsafe(`CREATE ROLE ${quoted(name)} LOGIN`);
    try {
      await apply((await print(['--grant-to', name])).stdout);
      expect((await init(['--grant-to', name])).code).toBe(0);
      for (const { sql } of [db, printed]) {
        expect(await admitted(sql)).toEqual([{ role: name, children: [] }]);
      }
    } finally {
      for (const { sql } of [db, printed]) await sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
      await db.sql.unsafe(`DROP ROLE ${quoted(name)}`);
    }
  });

  test("says what the owner can do about the roles' sessions", async () => {
    const [owner, role] = [await db.createRole(), await db.createRole()];
    await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
    const told = async () => (await init(['--grant-to', role.name], owner.url)).stderr;
    expect(await told()).toContain('lacks pg_read_all_stats and pg_signal_backend');
    await db.sql.unsafe(`GRANT pg_read_all_stats TO ${owner.name}`);
    expect(await told()).toContain('lacks pg_signal_backend:');
    await db.sql.unsafe(`GRANT pg_signal_backend TO ${owner.name}`);
    expect(await told()).toContain(`can see and end the sessions of ${role.name}`);
    // PostgreSQL 13 and older have no such role.
    if ((await db.sql`SELECT FROM pg_roles WHERE rolname = 'pg_write_all_data'`).length === 0) return;
    await db.sql.unsafe(`GRANT pg_write_all_data TO ${role.name}`);
    expect(await told()).toContain("can still read or change the lock's tables");
  });

  test('revokes rights that were granted before', async () => {
    const role = await db.createRole();
    expect((await init([])).code).toBe(0);
    await db.sql.unsafe(`GRANT ALL ON ALL TABLES IN SCHEMA migrate_lock TO ${role.name};
                         GRANT ALL ON ALL FUNCTIONS IN SCHEMA migrate_lock TO PUBLIC`);
    expect((await init(['--grant-to', role.name])).code).toBe(0);
    const [left] = await db.sql`
      SELECT has_table_privilege(${role.name}, 'migrate_lock.migration_lock', 'SELECT') AS table,
             has_function_privilege(${role.name}, 'migrate_lock.unlock'::regproc, 'EXECUTE') AS unlock`;
    expect(left).toEqual({ table: false, unlock: false });
  });

  test('refuses a role that can act as the owner, and PUBLIC', async () => {
    const owner = await db.createRole();
    await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
    const refused = async (role: string, url: string) => {
      const { code, stderr } = await init(['--grant-to', role], url);
      expect(code).toBe(64);
      return stderr;
    };
    expect(await refused(owner.name, owner.url)).toContain('its rights cannot be limited');
    expect(await refused('nobody at all', owner.url)).toContain('here is no role nobody at all');
    expect(await admitted(db.sql)).toEqual([]);
  });

  test.each([
    [['--grant-to', 'x', '--revoke', 'y']],
    [['--max-ttl', '0']],
    [['--max-ttl', 'long']],
    [['--rate-limit', '0']],
    [['--rate-limit', '1.5']],
  ])('%j is a usage error', async (args) => {
    expect((await init(args)).code).toBe(64);
  });
});

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
