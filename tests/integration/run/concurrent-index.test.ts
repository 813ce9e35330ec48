import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const BUILD = new URL('../../support/fixtures/concurrent-index.mjs', import.meta.url).pathname;
const WAITERS = 50;
const ROWS = 20_000;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  await db.sql`CREATE TABLE customer (id bigint PRIMARY KEY, email text NOT NULL)`;
  await db.sql`INSERT INTO customer SELECT n, 'customer-' || n FROM generate_series(1, ${ROWS}) AS n`;
});
afterEach(() => assertNothingLeft());
afterAll(() => db.drop());

async function build(): Promise<string | undefined> {
  const [row] = await db.sql<{ phase: string }[]>`
    SELECT phase FROM pg_stat_progress_create_index WHERE datname = current_database()`;
  return row?.phase;
}

/** How often the queue was read, which only the waiters' polls do while the index is built. */
async function looksAtQueue(): Promise<number> {
  const [row] = await db.sql<{ n: number }[]>`
    SELECT (coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::int AS n
      FROM pg_stat_user_tables WHERE relid = 'migrate_lock.migration_lock_waiter'::regclass`;
  return row?.n ?? 0;
}

/*
 * CREATE INDEX CONCURRENTLY waits for every transaction and every snapshot that is older than its own steps. It would
 * also
 * wait for a lock in the database that is waited for, or kept in a transaction.
 */
test(`CREATE INDEX CONCURRENTLY under the lock finishes while ${WAITERS} others wait for the lock`, async () => {
  const start = (...args: string[]) =>
    startCli(['run', '--ttl', '2m', '--wait-timeout', '4m', ...args], { env: { DATABASE_URL: db.url } });
  const writer = await db.sql.reserve();
  try {
    await writer`BEGIN`;
    await writer`INSERT INTO customer VALUES (0, 'customer-0')`;
    const holder = start('--', 'node', BUILD, String(WAITERS));
    await holder.waitForEvent('child.started');
    const others = Array.from({ length: WAITERS }, () => start('--', 'true'));

    // The application's transaction delays the build until all of them have polled more than once.
    await waitFor('the build', async () => (await build())?.startsWith('waiting for'), { limitMs: 60_000 });
    const before = await looksAtQueue();
    await waitFor('the waiters to ask', async () => (await looksAtQueue()) > before + 2 * WAITERS);
    expect(holder.events().map(({ event }) => event)).not.toContain('child.exited');
    await writer`COMMIT`;

    const { code, stderr } = await holder.done;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const [index] = await db.sql`
      SELECT indisvalid AS valid, indisready AS ready FROM pg_index WHERE indexrelid = 'customer_email'::regclass`;
    expect(index).toEqual({ valid: true, ready: true });
    const results = await Promise.all(others.map(({ done }) => done));
    expect(results.filter((result) => result.code !== 0).map((result) => result.stderr)).toEqual([]);
    const [{ deadlocks } = {}] = await db.sql`
      SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
    expect(deadlocks).toBe(0);
  } finally {
    await writer`ROLLBACK`;
    writer.release();
  }
}, 300_000);
