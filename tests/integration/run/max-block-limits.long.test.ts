/** `--max-block` at its limits: whose session is in the way, with what statement, and who counts as waiting. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import postgres from 'postgres';
import type { MigrateLockEvent } from '../../../src/events/events.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { hasPooler, startPooler } from '../../support/pooler.js';
import { assertNothingLeft, CLI, NODE, startCli, type CliOptions } from '../../support/run-cli.js';
import { STATEMENTS_PROGRAM, startOver, startStatements, untilLocked } from '../../support/statements.js';
import { openTransaction, sendStatement, startWriters } from '../../support/traffic.js';
import { waitFor } from '../../support/wait-for.js';

const QUERY_SIZE = 16_384;

let server: EmbeddedServer;
let db: TestDatabase;

beforeAll(async () => {
  server = await startServer({ settings: { track_activity_query_size: QUERY_SIZE } });
  db = await createDatabase(server.url);
}, 60_000);
beforeEach(() => startOver(db));
afterEach(assertNothingLeft);
afterAll(async () => {
  await db.drop();
  await server.stop();
});

/** Runs the statements in one session. */
function migrate(statements: (string | number)[], options: string[] = [], { env = {} }: CliOptions = {}) {
  const own = ['--max-block', '500ms', '--retries', '0', ...options];
  return startStatements(statements, { url: db.url, options: own, env });
}
const named = (events: readonly MigrateLockEvent[], name: string) =>
  events.filter(({ event }) => event === name);

test('a form with CONCURRENTLY after a comment that is longer than the part that is read is not cancelled', async () => {
  const reader = await openTransaction(db.url, 'INSERT INTO orders DEFAULT VALUES');
  const run = migrate([`/* ${'x'.repeat(6_000)} */ CREATE INDEX CONCURRENTLY by_id ON orders (id)`]);
  await untilLocked(db, 'orders');
  const other = sendStatement(db.url, 'ALTER TABLE orders ADD COLUMN other int');
  const event = await run.waitForEvent('database.blocking');
  expect(event).toMatchObject({ action: 'reported' });
  // The build would wait for it too.
  await db.sql`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%ADD COLUMN other int'`;
  await expect(other.waitedMs).rejects.toMatchObject({ code: '57014' });
  await reader.end();
  expect((await run.done).code).toBe(0);
  expect(await db.sql`SELECT FROM pg_index WHERE NOT indisvalid`).toHaveLength(0);
});

test('a long DO block is cancelled, also where the server has cut it', async () => {
  const run = migrate([
    `DO $$ BEGIN LOCK TABLE orders; PERFORM pg_sleep(20); /* ${'x'.repeat(QUERY_SIZE)} */ END $$`,
  ]);
  await untilLocked(db, 'orders');
  const waited = sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  expect(await run.waitForEvent('database.blocking')).toMatchObject({ action: 'cancelled' });
  expect(await waited).toBeLessThan(2_000);
  expect((await run.done).code).toBe(74);
});

(hasPooler ? test : test.skip)(
  "a pooler's session that has the lease's name from an earlier client is not touched (skipped where PgBouncer is not installed)",
  async () => {
    const pooler = await startPooler(server.url, { poolSize: 1 });
    const client = () =>
      postgres(pooler.through(db.url), {
        ...{ max: 1, fetch_types: false, prepare: false },
        connection: { application_name: undefined as unknown as string },
      });
    const [first, stranger] = [client(), client()];
    try {
      await first.unsafe('SELECT 1'); // the pooler has its session before the lease begins
      const run = migrate(['SELECT 1', 3_000], [], { env: { DIRECT_URL: pooler.through(db.url) } });
      const pid = await waitFor('the session has the name of the lease', async () => {
        const [row] = await db.sql<{ pid: number }[]>`
          SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'migrate-lock:%'`;
        return row?.pid;
      });
      const held = stranger.begin(async (sql) => {
        await sql.unsafe('LOCK TABLE orders');
        const [row] = await sql.unsafe<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
        await sql.unsafe('SELECT pg_sleep(1.5)');
        return row?.pid;
      });
      held.catch(() => undefined);
      await waitFor('the table is locked', async () => {
        const [row] = await db.sql`
          SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'orders'::regclass`;
        return row !== undefined;
      });
      const writer = sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES');
      expect(await held).toBe(pid);
      await writer.waitedMs;
      const { events, code, stderr } = await run.done;
      expect(named(events, 'database.blocking')).toMatchObject([{ action: 'reported', reason: 'pooler' }]);
      expect(stderr).toContain('let the command connect to the server itself');
      expect(code).toBe(0);
    } finally {
      await Promise.all([first.end({ timeout: 1 }), stranger.end({ timeout: 1 })]);
      await pooler.stop();
    }
  },
);

test('the statement of a run on another lock inside the command is not cancelled: that run would store a success', async () => {
  const reader = await openTransaction(db.url, 'SELECT FROM orders');
  const inner = `"$NODE" "$CLI" run --schema other --once a -- "$NODE" "${STATEMENTS_PROGRAM}"`;
  const run = startCli(['run', '--max-block', '500ms', '--retries', '0', '--', 'sh', '-c', inner], {
    env: {
      ...{ DATABASE_URL: db.url, DIRECT_URL: db.url, NODE, CLI },
      STATEMENTS: JSON.stringify(['ALTER TABLE orders ADD COLUMN note text']),
    },
  });
  await untilLocked(db, 'orders', false);
  const writer = sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES');
  const event = await run.waitForEvent('database.blocking');
  await reader.end();
  await writer.waitedMs;
  const { code } = await run.done;
  expect(event).toMatchObject({ action: 'reported', reason: 'inner-run' });
  expect(code).toBe(0);
  expect(await db.sql`SELECT FROM other.migration_lock_run WHERE run_key = 'a' AND succeeded`).toHaveLength(
    1,
  );
  expect(
    await db.sql`SELECT FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'note'`,
  ).toHaveLength(1);
});

test('100 sessions that wait for something else do not hide one that waits for the command', async () => {
  await db.sql`CREATE TABLE shared (id int)`;
  const stranger = await openTransaction(db.url, 'LOCK TABLE shared IN SHARE MODE');
  const run = migrate(['BEGIN', 'SELECT FROM shared', 'LOCK TABLE orders', 4_000]);
  await untilLocked(db, 'orders');
  const others = Array.from(
    { length: 110 },
    () => sendStatement(db.url, 'INSERT INTO shared VALUES (1)').waitedMs,
  );
  await waitFor('they wait', async () => {
    const rows = await db.sql`SELECT FROM pg_locks WHERE NOT granted`;
    return rows.length >= 110;
  });
  const waited = sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  expect(await waited).toBeLessThan(2_500);
  await stranger.end();
  await Promise.all(others);
  await run.done;
  await db.sql`DROP TABLE shared`;
});

test('a transaction that holds up CREATE INDEX CONCURRENTLY of another table is left alone, but not a session that blocks behind it', async () => {
  await db.sql`CREATE TABLE other_table (id int)`;
  const run = migrate(['BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1', 6_000]);
  await waitFor('the transaction is open', async () => {
    const [row] = await db.sql`
      SELECT FROM pg_stat_activity WHERE application_name LIKE 'migrate-lock:%' AND state = 'idle in transaction'`;
    return row !== undefined;
  });
  const index = sendStatement(db.url, 'CREATE INDEX CONCURRENTLY ON other_table (id)');
  await waitFor('it waits', async () => {
    const [row] = await db.sql`SELECT FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid'`;
    return row !== undefined;
  });
  await new Promise((resolve) => setTimeout(resolve, 1_000)); // twice as long as it may keep others waiting
  expect(named(run.events(), 'database.blocking')).toEqual([]);
  const behindIt = sendStatement(db.url, 'ALTER TABLE other_table ADD COLUMN a int');
  expect(await run.waitForEvent('database.blocking')).toMatchObject({ action: 'terminated', waiting: 1 });
  // The two may wait for each other by now.
  await Promise.allSettled([index.waitedMs, behindIt.waitedMs]);
  await run.done;
  await db.sql`DROP TABLE other_table`;
});

test('short waits one after the other are not one long wait, also before PostgreSQL 14', async () => {
  const batch = 'BEGIN; LOCK TABLE orders; SELECT pg_sleep(0.35); COMMIT';
  const run = migrate(
    Array.from({ length: 10 }, () => batch),
    ['--max-block', '1s'],
  );
  await run.waitForEvent('child.started');
  const writers = startWriters(db.url, 'orders', 1);
  const { code, events } = await run.done;
  expect((await writers.stop()).longestMs).toBeGreaterThan(200);
  expect(named(events, 'database.blocking')).toEqual([]);
  expect(code).toBe(0);
});
