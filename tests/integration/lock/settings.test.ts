import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { BorrowedDatabase } from '../../../src/db/borrowed-database.js';
import { LockCalls } from '../../../src/lock/calls.js';
import { MigrationLock } from '../../../src/library/migration-lock.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { pollInSql } from '../../support/poll-in-sql.js';

/** Settings of a role under which the lock must work. */
const SETTINGS = [
  "default_transaction_isolation = 'serializable'",
  "default_transaction_isolation = 'repeatable read'",
  'default_transaction_read_only = on',
  'synchronous_commit = off',
  "lock_timeout = '1ms'",
  "idle_in_transaction_session_timeout = '1ms'",
  'search_path = evil, pg_catalog',
  "search_path = ''",
  "timezone = 'Asia/Kathmandu'",
  "DateStyle = 'German, DMY'",
  "IntervalStyle = 'sql_standard'",
  'standard_conforming_strings = off',
  "bytea_output = 'escape'",
  'extra_float_digits = -10',
];

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  // The object that a shadowed name would lead to.
  await db.sql.unsafe(`
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$;
    CREATE FUNCTION evil.jsonb_build_object(VARIADIC "any") RETURNS jsonb LANGUAGE internal AS 'jsonb_build_object_noargs';
    CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
    CREATE DOMAIN evil.jsonb AS pg_catalog.jsonb CHECK (false);
    CREATE TABLE evil.migration_lock (id int)`);
});
afterAll(() => db.drop());
afterEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});

async function roleWith(setting: string) {
  const role = await db.createRole();
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${role.name};
                       GRANT USAGE ON SCHEMA evil TO ${role.name};
                       ALTER ROLE ${role.name} SET ${setting}`);
  return role;
}

async function expectALockThatWorks(lock: LockCalls): Promise<void> {
  const first = await tryToAcquire(lock);
  if (first.answer.outcome !== 'acquired') throw new Error('not acquired');
  expect(Math.abs(first.answer.lease.expiresAt.getTime() - Date.now() - 30_000)).toBeLessThan(5_000);
  expect((await tryToAcquire(lock)).answer).toMatchObject({
    outcome: 'held',
    holder: { instanceId: first.me.instanceId },
  });
  expect(await lock.release(first.me, { end: { exitCode: 0 } })).toMatchObject({
    outcome: 'released',
    late: false,
  });
  expect(await lock.status()).toMatchObject({ state: 'free', waiters: [] });
  expect(await lock.cleanup()).toMatchObject({ leases: 0, waiters: 0 });
}

describe.each(SETTINGS)('%s', (setting) => {
  test("on migrate-lock's own connections", async () => {
    const role = await roleWith(setting);
    const lock = await openLock(role.url);
    await expectALockThatWorks(lock);
    lock.database.disconnect();
    // Its first call acquires, before any call has returned the settings.
    const fresh = new MigrationLock({ connection: role.url });
    expect(await fresh.acquire()).toBe(true);
    expect(await fresh.release()).toBe(true);
  });

  test("on the application's postgres.js instance", async () => {
    const role = await roleWith(setting);
    (await openLock(role.url)).database.disconnect();
    const sql = postgres(role.url, { max: 2, onnotice: () => undefined });
    await expectALockThatWorks(new LockCalls(new BorrowedDatabase(sql), 'migrate_lock'));
    await sql.end();
  });
});

test("statement_timeout = '1ms', on migrate-lock's own connections", async () => {
  const role = await roleWith("statement_timeout = '1ms'");
  const lock = await openLock(role.url);
  await expectALockThatWorks(lock);
  lock.database.disconnect();
});

test('an acquisition is durable although the role sets synchronous_commit = off', async () => {
  const role = await roleWith('synchronous_commit = off');
  (await openLock(role.url)).database.disconnect();
  const sql = postgres(role.url, { max: 1, onnotice: () => undefined });
  await sql.begin(async (transaction) => {
    await pollInSql(transaction, 'one');
    const [setting] = await transaction`SELECT current_setting('synchronous_commit') AS value`;
    expect(setting?.value).toBe('on'); // the value that counts at COMMIT
  });
  await sql.end();
});

test('a call that would use an old snapshot is refused', async () => {
  (await openLock(db.url)).database.disconnect();
  await expect(
    db.sql.begin('isolation level serializable', (sql) => pollInSql(sql, 'one')),
  ).rejects.toMatchObject({ code: '25000' });
});
