import { expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { LIMIT_MS, openLock, tryToAcquire } from '../../support/lock.js';
import { pollInSql } from '../../support/poll-in-sql.js';
import { runCli } from '../../support/run-cli.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

test('2,000 polls beside an open transaction leave a few dead rows, not one each', async () => {
  const lock = await openLock(db.url);
  await tryToAcquire(lock, { ttlMs: 600_000 });
  lock.database.disconnect();
  const migration = await db.sql.reserve();
  const waiter = await db.sql.reserve();
  try {
    await migration`BEGIN`;
    await migration`CREATE TABLE migrate_lock.kept_open ()`; // the transaction has an id now
    const pages = () => db.sql`
      SELECT sum(pg_relation_size(oid))::integer AS bytes FROM pg_class
       WHERE relnamespace = 'migrate_lock'::regnamespace AND relkind = 'r'`;
    const [before] = await pages();
    for (let at = 0; at < 2_000; at++) await pollInSql(waiter, 'waiter', { isLast: false });
    const [after] = await pages();
    const [versions] = await waiter`
      SELECT (SELECT max(substring(ctid::text, ',(\d+)')::integer) FROM migrate_lock.migration_lock_client) AS client,
             (SELECT max(substring(ctid::text, ',(\d+)')::integer) FROM migrate_lock.migration_lock_waiter) AS waiter`;
    expect(Number(versions?.client)).toBeLessThan(50); // one for each second's worth of attempts
    expect(Number(versions?.waiter)).toBeLessThan(20);
    expect(Number(after?.bytes) - Number(before?.bytes)).toBeLessThanOrEqual(4 * 8_192);
  } finally {
    await migration`ROLLBACK`;
    migration.release();
    waiter.release();
  }
}, 60_000);

test('an infinite lease is refused; an existing one can be shown and unlocked', async () => {
  const lock = await openLock(db.url);
  const { me } = await tryToAcquire(lock);
  lock.database.disconnect();
  const forever = () => db.sql`UPDATE migrate_lock.migration_lock SET expires_at = 'infinity'`;
  await expect(forever()).rejects.toMatchObject({ code: '23514' });
  await db.sql`ALTER TABLE migrate_lock.migration_lock DROP CONSTRAINT migration_lock_lease_is_finite`;
  await forever();
  const cli = (...args: string[]) => runCli(args, { env: { DATABASE_URL: db.url }, auditOnly: false });
  const status = await cli('status');
  expect(status).toMatchObject({ stderr: '', stdout: expect.stringContaining(me.instanceId) });
  const waiter = await cli('run', '--wait-timeout', '0', '--', 'true');
  expect(waiter).toMatchObject({ code: 75 });
  expect(waiter.stderr).not.toContain('replica');
  expect(await cli('unlock', '--force', '--instance', me.instanceId)).toMatchObject({ code: 0 });
  expect(await cli('run', '--wait-timeout', '0', '--', 'true')).toMatchObject({ code: 0 });
}, 60_000);

test('cleanup --keep removes more than one batch, and releases its locks between two', async () => {
  const lock = await openLock(db.url);
  await tryToAcquire(lock, { ttlMs: 600_000 });
  await db.sql`
    INSERT INTO migrate_lock.migration_lock_audit (at, event)
    SELECT clock_timestamp() - interval '100 days', 'wait.timeout' FROM generate_series(1, 25000)`;
  const batches: number[] = [];
  const call = lock.database.call.bind(lock.database);
  lock.database.call = async (request) => {
    const answer = await call(request);
    if (request.name === 'prune') {
      batches.push((answer as { rows: number }).rows);
      await db.sql`SELECT FROM migrate_lock.migration_lock FOR UPDATE NOWAIT`;
    }
    return answer;
  };
  expect(await lock.prune(86_400_000, LIMIT_MS)).toMatchObject({ rows: 25_000 });
  lock.database.disconnect();
  expect(batches.slice(0, 3)).toEqual([10_000, 10_000, 5_000]);
}, 60_000);

test('history --since reads the rows that it shows, not the whole history', async () => {
  const lock = await openLock(db.url);
  await tryToAcquire(lock);
  await db.sql`
    INSERT INTO migrate_lock.migration_lock_audit (at, event)
    SELECT clock_timestamp() - interval '100 days', 'wait.timeout' FROM generate_series(1, 20000)`;
  await db.sql`ANALYZE migrate_lock.migration_lock_audit`;
  const sql = await db.sql.reserve();
  try {
    const read = async () => {
      const [row] = await sql<{ rows: string }[]>`
        SELECT pg_stat_get_xact_tuples_returned('migrate_lock.migration_lock_audit'::regclass) AS rows`;
      return Number(row?.rows);
    };
    await sql`BEGIN`;
    await sql`SELECT migrate_lock.history(20, 3600000)`;
    const scanned = await read();
    await sql`COMMIT`;
    expect(scanned).toBeLessThan(100); // a sequential scan returns each row
  } finally {
    sql.release();
    lock.database.disconnect();
  }
});
