import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { OwnDatabase } from '../../../src/db/own-database.js';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { recognizeTool } from '../../../src/recover/recognize.js';
import { isToolLocked, sessionsOfLease, takenToolLocks } from '../../../src/recover/tool-locks.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openDatabase } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';

/** What the holder reads of the tools' own locks, with the real knex and with a table as Liquibase makes it. */

const APP = fileURLToPath(new URL('knex-app', import.meta.url));
const BIN = fileURLToPath(new URL('../../../node_modules/.bin', import.meta.url));
const NOW = { lockedAtMs: Date.now() - 30_000, endedAtMs: Date.now() };

let db: TestDatabase;
let database: OwnDatabase;

beforeAll(async () => {
  db = await createDatabase();
  database = openDatabase(db.url);
});
afterEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS app CASCADE`;
  await db.sql`DROP SCHEMA public CASCADE`;
  await db.sql`CREATE SCHEMA public`;
});
afterAll(async () => {
  database.disconnect();
  await db.drop();
});

function start(argv: readonly string[], env: Record<string, string>) {
  const [program = '', ...args] = argv;
  return spawn(join(BIN, program), args, {
    cwd: APP,
    env: { ...process.env, DATABASE_URL: db.url, ...env },
    stdio: 'ignore',
  });
}

async function exitCode(argv: readonly string[], env: Record<string, string> = {}): Promise<unknown> {
  const [code] = (await once(start(argv, env), 'exit')) as [number | null];
  return code;
}

/** A knex that is killed in the midst of its migration. */
async function killKnex(argv: readonly string[], env: Record<string, string> = {}): Promise<void> {
  const child = start(argv, { SLOW: 'yes', ...env });
  const ended = once(child, 'exit');
  const asleep = () => db.sql<{ pid: number }[]>`
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()`;
  const [session] = await waitFor('the migration runs', async () => {
    const found = await asleep();
    return found.length > 0 && found;
  });
  child.kill('SIGKILL');
  await ended;
  await db.sql`SELECT pg_terminate_backend(${session?.pid ?? 0})`;
  await waitFor('its session has ended', async () => (await asleep()).length === 0);
}

describe('knex', () => {
  const COMMAND = ['knex', 'migrate:latest', '--env', 'development'];

  test('a killed one leaves its lock, the recovery releases it, and the command runs again', async () => {
    expect(await isToolLocked(database, 'knex', NOW)).toBe(false);
    await killKnex(COMMAND);
    expect(await exitCode(COMMAND)).toBe(1);
    expect(await isToolLocked(database, 'knex', NOW)).toBe(true);
    expect(await isToolLocked(database, 'liquibase', NOW)).toBe(false);
    expect(await takenToolLocks(database)).toEqual([
      { tool: 'knex', schema: 'public', table: 'knex_migrations_lock', recover: 'npx knex migrate:unlock' },
    ]);
    expect(await exitCode(recognizeTool(COMMAND)?.recovery ?? [])).toBe(0);
    expect(await isToolLocked(database, 'knex', NOW)).toBe(false);
    expect(await takenToolLocks(database)).toEqual([]);
    expect(await exitCode(COMMAND)).toBe(0);
    expect(await db.sql`SELECT FROM migrated`).toEqual([]);
  });

  test('its table is found under another name and in another schema', async () => {
    await db.sql`CREATE SCHEMA app`;
    const env = { MIGRATIONS_SCHEMA: 'app', MIGRATIONS_TABLE: 'Steps "1"' };
    await killKnex(COMMAND, env);
    expect(await takenToolLocks(database)).toMatchObject([{ schema: 'app', table: 'Steps "1"_lock' }]);
    expect(await isToolLocked(database, 'knex', NOW)).toBe(true);
    expect(await exitCode(recognizeTool(COMMAND)?.recovery ?? [], env)).toBe(0);
    expect(await isToolLocked(database, 'knex', NOW)).toBe(false);
  });
});

/** As https://docs.liquibase.com/concepts/tracking-tables/databasechangeloglock-table.html describes it. */
async function makeLiquibaseTable(granted: string): Promise<void> {
  await db.sql.unsafe(`
    CREATE TABLE public.databasechangeloglock (
        id integer NOT NULL, locked boolean NOT NULL, lockgranted timestamp without time zone, lockedby character varying(255),
        CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id));
    INSERT INTO public.databasechangeloglock VALUES (1, true, ${granted}, 'web-7f9 (10.0.0.7)')`);
}
const at = (ms: number) => `'${new Date(ms).toISOString().replace('T', ' ').replace('Z', '')}'`;

describe('Liquibase', () => {
  test.each([
    ['within the lease', at(NOW.lockedAtMs + 5_000), true],
    ['half a minute early: the clock of the tool', at(NOW.lockedAtMs - 30_000), true],
    ['two minutes before the lease', at(NOW.lockedAtMs - 120_000), false],
    ['two minutes after the lease', at(NOW.endedAtMs + 120_000), false],
    ['at no known time', 'NULL', false],
    ['at an unreadable time', "'infinity'", false],
  ])('a lock that was granted %s', async (_, granted, expected) => {
    await makeLiquibaseTable(granted);
    expect(await isToolLocked(database, 'liquibase', NOW)).toBe(expected);
    expect(await takenToolLocks(database)).toMatchObject([
      { tool: 'liquibase', recover: 'liquibase release-locks' },
    ]);
    await db.sql`UPDATE databasechangeloglock SET locked = false`;
    expect(await isToolLocked(database, 'liquibase', NOW)).toBe(false);
    expect(await takenToolLocks(database)).toEqual([]);
  });

  test('a time of our own time zone counts too', async () => {
    const local = new Date(NOW.lockedAtMs + 5_000);
    const pad = (part: number) => String(part).padStart(2, '0');
    const day = `${local.getFullYear()}-${pad(local.getMonth() + 1)}-${pad(local.getDate())}`;
    await makeLiquibaseTable(
      `'${day} ${pad(local.getHours())}:${pad(local.getMinutes())}:${pad(local.getSeconds())}'`,
    );
    expect(await isToolLocked(database, 'liquibase', NOW)).toBe(true);
  });
});

describe('a malicious owner', () => {
  /** A table like that of knex, by a role that would get our rights if anything of it ran. */
  async function hostile(statements: string): Promise<void> {
    const role = await db.createRole();
    await db.sql.unsafe(`CREATE SCHEMA app AUTHORIZATION ${role.name}`);
    const owner = postgres(role.url, { max: 1, onnotice: () => undefined });
    try {
      await owner.unsafe(`
        CREATE TABLE app.ran (by text);
        GRANT ALL ON app.ran TO public;
        CREATE FUNCTION app.trap() RETURNS integer LANGUAGE plpgsql AS $$
          BEGIN INSERT INTO app.ran VALUES (current_user); RETURN 1; END $$;
        CREATE FUNCTION app.trap(integer) RETURNS boolean LANGUAGE plpgsql AS $$
          BEGIN INSERT INTO app.ran VALUES (current_user); RETURN true; END $$;
        ${statements};
        GRANT USAGE ON SCHEMA app TO public;
        GRANT SELECT ON ALL TABLES IN SCHEMA app TO public`);
    } finally {
      await owner.end();
    }
  }

  test.each([
    ['a view', 'CREATE VIEW app.knex_migrations_lock AS SELECT 1 AS index, app.trap() AS is_locked'],
    [
      'a materialized view',
      'CREATE MATERIALIZED VIEW app.knex_migrations_lock AS SELECT 1 AS index, 1 AS is_locked',
    ],
    [
      'a policy that calls a function',
      `CREATE TABLE app.knex_migrations_lock (index serial, is_locked integer);
       INSERT INTO app.knex_migrations_lock (is_locked) VALUES (1);
       ALTER TABLE app.knex_migrations_lock ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
       CREATE POLICY trap ON app.knex_migrations_lock USING (app.trap(is_locked))`,
    ],
    [
      'a column of its own type',
      `CREATE DOMAIN app.int AS integer CHECK (app.trap(VALUE));
       CREATE TABLE app.knex_migrations_lock (index serial, is_locked app.int)`,
    ],
    [
      'a partitioned table',
      'CREATE TABLE app.knex_migrations_lock (index integer, is_locked integer) PARTITION BY LIST (is_locked)',
    ],
    ['another column', 'CREATE TABLE app.knex_migrations_lock (index serial, is_locked integer, more text)'],
  ])('%s is not read', async (_, statements) => {
    await hostile(statements);
    await db.sql`TRUNCATE app.ran`;
    expect(await takenToolLocks(database)).toEqual([]);
    expect(await isToolLocked(database, 'knex', NOW)).toBe(false);
    const weak = openDatabase((await db.createRole()).url);
    expect(await takenToolLocks(weak)).toEqual([]);
    weak.disconnect();
    expect(await db.sql`SELECT * FROM app.ran`).toEqual([]);
  });

  test('a table with functions in an index, a check, a default and a trigger is read, and none of them runs', async () => {
    await hostile(
      `
        ALTER FUNCTION app.trap(integer) IMMUTABLE;
        CREATE TABLE app.knex_migrations_lock (index serial, is_locked integer DEFAULT app.trap());
        CREATE INDEX ON app.knex_migrations_lock ((index)) WHERE is_locked > 0;
        INSERT INTO app.knex_migrations_lock (is_locked) VALUES (1);
        ALTER TABLE app.knex_migrations_lock ADD CHECK (app.trap(is_locked)) NOT VALID`,
    );
    await db.sql`TRUNCATE app.ran`;
    expect(await isToolLocked(database, 'knex', NOW)).toBe(true);
    expect(await db.sql`SELECT * FROM app.ran`).toEqual([]);
  });

  test('a table that our role may not read is left out, and the others are read', async () => {
    await db.sql.unsafe(`
      CREATE SCHEMA app;
      CREATE TABLE app.knex_migrations_lock (index serial, is_locked integer);
      INSERT INTO app.knex_migrations_lock (is_locked) VALUES (1);
      CREATE TABLE public.knex_migrations_lock (index serial, is_locked integer);
      INSERT INTO public.knex_migrations_lock (is_locked) VALUES (1);
      GRANT USAGE ON SCHEMA public TO public;
      GRANT SELECT ON public.knex_migrations_lock TO public`);
    const other = openDatabase((await db.createRole()).url);
    expect(await takenToolLocks(other)).toMatchObject([{ schema: 'public' }]);
    other.disconnect();
  });

  test('a table that another session locks ends the read within its limit', async () => {
    await db.sql`CREATE TABLE knex_migrations_lock (index serial, is_locked integer)`;
    await db.sql.begin(async (sql) => {
      await sql`LOCK TABLE knex_migrations_lock`;
      await expect(isToolLocked(database, 'knex', NOW)).rejects.toMatchObject({ code: '55P03' });
    });
    expect(await isToolLocked(database, 'knex', NOW)).toBe(false);
  });
});

/** As a connection through PgBouncer is. */
class PooledDatabase extends OwnDatabase {
  override get isPooled(): boolean {
    return true;
  }
}

describe('sessions of the last lease', () => {
  test('behind a pooler only those that are in a transaction count: an idle one keeps the name of its last client', async () => {
    const pooled = new PooledDatabase(readConnectionConfig({ url: db.url, env: {} }));
    const client = postgres(db.url, { max: 1, connection: { application_name: 'migrate-lock:abc' } });
    try {
      await client`SELECT 1`;
      expect(await sessionsOfLease(database, 'abc')).toBe(1);
      expect(await sessionsOfLease(pooled, 'abc')).toBe(0);
      await client.begin(async (sql) => {
        await sql`SELECT 1`;
        expect(await sessionsOfLease(pooled, 'abc')).toBe(1);
      });
    } finally {
      await client.end();
      pooled.disconnect();
    }
  });

  test('are counted by their name, whatever they do', async () => {
    const names = [
      'migrate-lock:abc',
      'migrate-lock:outer:abc',
      'migrate-lock:abcd',
      'abc',
      'x-migrate-lock:abc',
    ];
    const clients = names.map((name) => postgres(db.url, { max: 1, connection: { application_name: name } }));
    try {
      await Promise.all(clients.map((client) => client`SELECT 1`));
      expect(await sessionsOfLease(database, 'abc')).toBe(2);
      expect(await sessionsOfLease(database, 'ab')).toBe(0);
      await Promise.all(clients.map((client) => client.end()));
      await waitFor('they have ended', async () => (await sessionsOfLease(database, 'abc')) === 0);
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
  });
});
