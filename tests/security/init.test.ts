import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { runCli } from '../harness/run-cli.js';
import { catalogOf } from '../cli/catalog.js';

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

describe('init --grant-to', () => {
  test('--print prints what it does', async () => {
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
      expect(await sql`SELECT * FROM migrate_lock.migration_lock_role`).toMatchObject([
        { db_role: role.name, child_roles: [child.name] },
      ]);
  });

  test('quotes whatever a role is called', async () => {
    const name = `a"b'c $$ $body$ \\ ; -- /* $1 "migrate_lock" ü`;
    await db.sql.unsafe(`CREATE ROLE ${quoted(name)}`);
    try {
      await apply((await print(['--grant-to', name])).stdout);
      expect((await init(['--grant-to', name])).code).toBe(0);
      for (const { sql } of [db, printed]) {
        const [row] = await sql`SELECT db_role FROM migrate_lock.migration_lock_role`;
        expect(row).toEqual({ db_role: name });
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
    await db.sql.unsafe(`GRANT pg_write_all_data TO ${role.name}`);
    expect(await told()).toContain("can get at the lock's tables all the same");
  });

  test('takes rights away that were given before', async () => {
    const role = await db.createRole();
    expect((await init([])).code).toBe(0);
    await db.sql.unsafe(`GRANT ALL ON ALL TABLES IN SCHEMA migrate_lock TO ${role.name};
                         GRANT ALL ON ALL FUNCTIONS IN SCHEMA migrate_lock TO PUBLIC`);
    expect((await init(['--grant-to', role.name])).code).toBe(0);
    const [left] = await db.sql`
      SELECT has_table_privilege(${role.name}, 'migrate_lock.migration_lock', 'SELECT') AS table,
             has_function_privilege(${role.name}, 'migrate_lock.unlock(text, boolean, jsonb)', 'EXECUTE') AS unlock`;
    expect(left).toEqual({ table: false, unlock: false });
  });

  test('is refused for who can do what the owner can, for nobody, and where others had a hand in the schema', async () => {
    const owner = await db.createRole();
    await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
    const refused = async (role: string, url: string) => {
      const { code, stderr } = await init(['--grant-to', role], url);
      expect(code).toBe(64);
      return stderr;
    };
    expect(await refused(owner.name, owner.url)).toContain('nothing can be kept from it');
    expect(await refused('nobody at all', owner.url)).toContain('there is no role nobody at all'.slice(1));
    const role = await db.createRole();
    await db.sql`CREATE FUNCTION migrate_lock.trap() RETURNS int LANGUAGE sql AS 'SELECT 1'`;
    expect(await refused(role.name, owner.url)).toContain('migrate_lock.trap()');
    await db.sql`DROP FUNCTION migrate_lock.trap()`;
    await db.sql.unsafe(`GRANT CREATE ON SCHEMA migrate_lock TO ${role.name}`);
    expect(await refused(role.name, owner.url)).toContain(`what ${role.name} creates`);
  });

  test('a superuser who upgrades or admits leaves everything with the owner', async () => {
    const [owner, role] = [await db.createRole(), await db.createRole()];
    await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
    expect((await init([], owner.url)).code).toBe(0);
    await db.sql`DROP FUNCTION migrate_lock.unlock(text, boolean, jsonb)`;
    await db.sql`UPDATE migrate_lock.migration_lock_version SET version = 2`;
    await db.sql`DROP TRIGGER migration_lock_manipulated ON migrate_lock.migration_lock`;
    await db.sql`DROP TRIGGER migration_lock_truncated ON migrate_lock.migration_lock`;
    await db.sql`DROP TABLE migrate_lock.migration_lock_setting, migrate_lock.migration_lock_role,
      migrate_lock.migration_lock_client, migrate_lock.migration_lock_chain CASCADE`;
    await db.sql`DROP FUNCTION migrate_lock.record_manipulation()`;
    await db.sql`ALTER TABLE migrate_lock.migration_lock_audit DROP COLUMN chain_seq, DROP COLUMN hash`;
    expect((await init(['--grant-to', role.name])).code).toBe(0);
    const foreign = await db.sql`
      SELECT proname FROM pg_proc
       WHERE pronamespace = 'migrate_lock'::regnamespace AND pg_get_userbyid(proowner) <> ${owner.name}`;
    expect(foreign).toEqual([]);
    expect((await runCli(['run', '--', 'true'], { env: { DATABASE_URL: role.url } })).code).toBe(0);
  });

  test.each([
    [['--child-role', 'x']],
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
