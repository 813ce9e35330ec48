import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import type { OwnDatabase } from '../../../src/db/own-database.js';
import { FUNCTIONS, STEPS } from '../../../src/generated/sql.js';
import { DEFINITION, ensureSchema, type SchemaDefinition } from '../../../src/schema/apply.js';
import { printSchema } from '../../../src/schema/print.js';
import { readSchemaVersion, SCHEMA_VERSION } from '../../../src/schema/schema-version.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { pollInSql } from '../../support/poll-in-sql.js';
import { LIMIT_MS, openDatabase, openLock, tryToAcquire } from '../../support/lock.js';

let db: TestDatabase;
let database: OwnDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  database = openDatabase(db.url);
});
afterEach(() => database.disconnect());

const NEXT = SCHEMA_VERSION + 1;

/** A next version of the schema, as a later program would bring it. */
function nextVersion({ oldestProgram = 1, upgraded = true } = {}): SchemaDefinition {
  if (!upgraded) return DEFINITION;
  const sql = `
    ALTER TABLE "migrate_lock".migration_lock ADD COLUMN colour text;
    UPDATE "migrate_lock".migration_lock_version SET version = ${NEXT}, oldest_program = ${oldestProgram}`;
  return {
    version: NEXT,
    steps: [...STEPS, { version: NEXT, files: [{ name: 'next/1-colour.sql', sql }] }],
    functions: [
      {
        name: 'next/colour.sql',
        sql: `
          CREATE OR REPLACE FUNCTION "migrate_lock".colour() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
              SET search_path = pg_catalog, pg_temp AS $body$ SELECT 'red' $body$;`,
      },
      ...FUNCTIONS.map(({ name, sql }) => ({
        name,
        sql: sql.replace("'history', 'chain']", "'history', 'chain', 'colour']"),
      })),
    ],
  };
}

describe('ensureSchema', () => {
  test('applies the schema once, then only reads', async () => {
    expect(await ensureSchema(database, 'migrate_lock')).toEqual({
      fromVersion: null,
      toVersion: SCHEMA_VERSION,
    });
    const [before] = await db.sql`SELECT max(oid::text::bigint) FROM pg_class`;
    expect(await ensureSchema(database, 'migrate_lock')).toBeNull();
    expect((await db.sql`SELECT max(oid::text::bigint) FROM pg_class`)[0]).toEqual(before);
  });

  test('40 calls at the same instant succeed, and one of them applies the schema', async () => {
    const all = Array.from({ length: 40 }, () => openDatabase(db.url));
    const results = await Promise.all(all.map((one) => ensureSchema(one, 'migrate_lock')));
    all.forEach((one) => one.disconnect());
    expect(results.filter((result) => result !== null)).toEqual([
      { fromVersion: null, toVersion: SCHEMA_VERSION },
    ]);
  });

  test('needs no other right than to read when the version is current', async () => {
    await ensureSchema(database, 'migrate_lock');
    const role = await db.createRole();
    await db.sql`SELECT migrate_lock.admit(${role.name}, '[]')`;
    const lock = await openLock(role.url);
    const { me, answer } = await tryToAcquire(lock);
    expect(answer.outcome).toBe('acquired');
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    lock.database.disconnect();
    const [lease] = await db.sql`SELECT db_role FROM migrate_lock.migration_lock`;
    expect(lease?.db_role).toBe(role.name);
  });

  test('uses an empty schema that an administrator made for a role without CREATE on the database', async () => {
    const role = await db.createRole();
    await db.sql.unsafe(`CREATE SCHEMA migrate_lock AUTHORIZATION ${role.name}`);
    const own = openDatabase(role.url);
    expect(await ensureSchema(own, 'migrate_lock')).toEqual({ fromVersion: null, toVersion: SCHEMA_VERSION });
    own.disconnect();
  });

  test('reports a missing right', async () => {
    const role = await db.createRole();
    const own = openDatabase(role.url);
    await expect(ensureSchema(own, 'migrate_lock')).rejects.toMatchObject({ code: '42501' });
    own.disconnect();
  });

  test('leaves nothing when a step fails', async () => {
    const broken: SchemaDefinition = {
      ...nextVersion(),
      functions: [{ name: 'broken', sql: 'SELECT 1 / 0' }],
    };
    await expect(ensureSchema(database, 'migrate_lock', broken)).rejects.toMatchObject({ code: '22012' });
    expect(await readSchemaVersion(database, 'migrate_lock', LIMIT_MS)).toBeNull();
    expect(await db.sql`SELECT FROM pg_namespace WHERE nspname = 'migrate_lock'`).toHaveLength(0);
  });

  test('tries again when the schema is not found although another session has just made it', async () => {
    await db.sql`CREATE SEQUENCE tries`;
    const raised = `DO $$ BEGIN IF nextval('public.tries') = 1 THEN RAISE 'gone' USING ERRCODE = '3F000'; END IF; END $$`;
    const once = { ...DEFINITION, functions: [{ name: 'once', sql: raised }, ...FUNCTIONS] };
    expect(await ensureSchema(database, 'migrate_lock', once)).toMatchObject({ fromVersion: null });
    await db.sql`DROP SEQUENCE tries`;
  });

  test('refuses a schema that is used for something else', async () => {
    await db.sql.unsafe('CREATE SCHEMA migrate_lock; CREATE TABLE migrate_lock.migration_lock (other int)');
    await expect(ensureSchema(database, 'migrate_lock')).rejects.toMatchObject({ code: 'SCHEMA_CONFLICT' });
  });
});

describe('versions', () => {
  test('a newer program upgrades the schema; the older one still works and changes nothing', async () => {
    await ensureSchema(database, 'migrate_lock');
    expect(await ensureSchema(database, 'migrate_lock', nextVersion())).toEqual({
      fromVersion: SCHEMA_VERSION,
      toVersion: NEXT,
    });
    expect(await ensureSchema(database, 'migrate_lock')).toBeNull();
    const lock = await openLock(db.url);
    const { answer } = await tryToAcquire(lock);
    expect(answer.outcome).toBe('acquired');
    lock.database.disconnect();
    expect(await readSchemaVersion(database, 'migrate_lock', LIMIT_MS)).toMatchObject({
      version: NEXT,
      oldestProgram: 1,
    });
  });

  test('a program that is too old is refused', async () => {
    await ensureSchema(database, 'migrate_lock', nextVersion({ oldestProgram: NEXT }));
    await expect(ensureSchema(database, 'migrate_lock')).rejects.toMatchObject({
      code: 'SCHEMA_TOO_NEW',
      exitCode: 78,
    });
  });

  test('an older program keeps its lease through the upgrade, extends it and releases it', async () => {
    const lock = await openLock(db.url);
    const { me } = await tryToAcquire(lock);
    await ensureSchema(database, 'migrate_lock', nextVersion());
    expect((await tryToAcquire(lock)).answer.outcome).toBe('held');
    expect(await lock.extend(me, 60_000)).toMatchObject({ outcome: 'extended' });
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    lock.database.disconnect();
    expect(await db.sql`SELECT version FROM migrate_lock.migration_lock_version`).toEqual([
      { version: NEXT },
    ]);
  });

  test.each([
    ['newer than the schema', { program: NEXT, upgraded: false }],
    ['too old for the schema', { program: SCHEMA_VERSION, upgraded: true }],
  ])('a poll of a program that is %s is refused, and changes nothing', async (_, { program, upgraded }) => {
    await ensureSchema(database, 'migrate_lock', nextVersion({ oldestProgram: NEXT, upgraded }));
    const [row] = await pollInSql(db.sql, 'somebody', { program });
    expect(row?.answer).toMatchObject({ outcome: 'schema', version: upgraded ? NEXT : SCHEMA_VERSION });
    for (const table of ['migration_lock', 'migration_lock_waiter', 'migration_lock_audit'])
      expect(await db.sql`SELECT FROM ${db.sql(`migrate_lock.${table}`)}`).toHaveLength(0);
    const own = upgraded ? NEXT : SCHEMA_VERSION;
    const [next] = await pollInSql(db.sql, 'somebody', { program: own });
    expect(next?.answer.outcome).toBe('acquired');
  });

  test('an admitted role may call new functions after an upgrade, but nothing that was revoked by hand', async () => {
    await ensureSchema(database, 'migrate_lock');
    const role = await db.createRole();
    await db.sql`SELECT migrate_lock.admit(${role.name}, '[]')`;
    await db.sql.unsafe(`REVOKE EXECUTE ON FUNCTION migrate_lock.chain FROM ${role.name}`);
    await ensureSchema(database, 'migrate_lock', nextVersion());
    const may = async (name: string) => {
      const [found] = await db.sql<{ may: boolean }[]>`
        SELECT has_function_privilege(${role.name}, oid, 'EXECUTE') AS may FROM pg_proc
         WHERE pronamespace = 'migrate_lock'::regnamespace AND proname = ${name}`;
      return found?.may;
    };
    expect([await may('colour'), await may('chain'), await may('poll')]).toEqual([true, false, true]);
    const everybody = await db.sql`
      SELECT proname FROM pg_proc
       WHERE pronamespace = 'migrate_lock'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')`;
    expect(everybody).toEqual([]);
  });

  test('an upgrade stops when it cannot lock at once, and polls continue', async () => {
    await ensureSchema(database, 'migrate_lock');
    const lock = await openLock(db.url);
    let upgrading: ReturnType<typeof ensureSchema> | undefined;
    await db.sql.begin(async (sql) => {
      await sql`SELECT FROM migrate_lock.migration_lock`; // ACCESS SHARE until the end of this transaction
      upgrading = ensureSchema(database, 'migrate_lock', nextVersion());
      for (let attempts = 0; attempts < 2;) {
        const [found] =
          await db.sql`SELECT count(*)::int AS n FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted`;
        attempts += Number(found?.n);
      }
      // Waits behind the upgrade's lock request for at most its lock_timeout.
      expect((await tryToAcquire(lock)).answer.outcome).toBe('acquired');
    });
    expect(await upgrading).toEqual({ fromVersion: SCHEMA_VERSION, toVersion: NEXT });
    lock.database.disconnect();
  });
});

describe('schema names', () => {
  const names = [
    'Locks',
    'my lock',
    'with"quote',
    "it's",
    '$body$',
    'x$body$y$body1$',
    '$&',
    "$'",
    '\\',
    'a\nb',
    '--',
    '/*',
    ';',
    '%',
    'ünïcødé',
    'select',
    "'; DROP TABLE x; --",
  ];
  test.each(names)('%j', async (name) => {
    const lock = await openLock(db.url, name);
    const { me, answer } = await tryToAcquire(lock);
    expect(answer.outcome).toBe('acquired');
    expect((await tryToAcquire(lock)).answer.outcome).toBe('held');
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    expect((await lock.status()).state).toBe('free');
    lock.database.disconnect();
    const [found] = await db.sql`SELECT count(*)::int AS n FROM pg_namespace WHERE nspname = ${name}`;
    expect(found?.n).toBe(1);
    await db.sql`DROP SCHEMA ${db.sql(name)} CASCADE`;
  });

  test('init --print prints the schema that is applied', async () => {
    const administrator = postgres(db.url, { max: 1, onnotice: () => undefined });
    await administrator.unsafe(printSchema('migrate_lock'));
    await administrator.end();
    expect(await ensureSchema(database, 'migrate_lock')).toBeNull();
    const lock = await openLock(db.url);
    expect((await tryToAcquire(lock)).answer.outcome).toBe('acquired');
    lock.database.disconnect();
  });
});
