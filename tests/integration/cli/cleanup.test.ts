import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { runCli } from '../../support/run-cli.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(() => db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`);
afterAll(() => db.drop());

const cleanup = (...args: string[]) => runCli(['cleanup', ...args], { env: { DATABASE_URL: db.url } });

async function runKeys(): Promise<string[]> {
  const rows = await db.sql<
    { run_key: string }[]
  >`SELECT run_key FROM migrate_lock.migration_lock_run ORDER BY 1`;
  return rows.map(({ run_key }) => run_key);
}

test('removes run keys whose last run is older, and only on request; the newest successes stay', async () => {
  (await openLock(db.url)).database.disconnect();
  await db.sql`INSERT INTO migrate_lock.migration_lock_run VALUES
    ('old', '', true, 0, now() - interval '92 d', 1, 'a', 1, NULL, 'app', NULL),
    ('old failure', '', false, 1, now() - interval '91 d', 1, 'a', 1, NULL, 'app', NULL),
    ('recent', '', true, 0, now() - interval '89 d', 1, 'a', 1, NULL, 'app', NULL)`;
  await db.sql`
    INSERT INTO migrate_lock.migration_lock_run
    SELECT 'kept ' || n, '', true, 0, now() - interval '91 d', 1, 'a', 1, NULL, 'app', NULL FROM generate_series(1, 99) AS n`;
  expect(await cleanup()).toMatchObject({ code: 0, stdout: '' });
  expect(await runKeys()).toHaveLength(102);
  const pruned = await cleanup('--keep', '90d');
  expect(pruned).toMatchObject({ code: 0, stdout: '' });
  expect(pruned.stderr).toContain('removed 2 run keys');
  const left = await runKeys();
  expect(left).toHaveLength(100);
  expect(left).toContain('recent');
  expect(left).toContain('kept 1');
  expect(left).not.toContain('old');
});

test('clears an expired lease, and leaves a held one', async () => {
  const lock = await openLock(db.url);
  await tryToAcquire(lock);
  expect((await cleanup()).stderr).toContain('cleared 0 expired leases');
  await db.sql`UPDATE migrate_lock.migration_lock
               SET locked_at = now() - interval '2 s', expires_at = now() - interval '1 s'`;
  expect((await cleanup()).stderr).toContain('cleared 1 expired leases');
  expect((await lock.status()).state).toBe('free');
  lock.database.disconnect();
});

test.each(['', 'for ever', '90'])('--keep %j is a usage error', async (keep) => {
  expect(await cleanup('--keep', keep)).toMatchObject({ code: 64 });
});
