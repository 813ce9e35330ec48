/** `--max-block`: what the command's database sessions may do to others, and what is done about it. Real traffic. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { MigrateLockEvent } from '../../../src/events/events.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, startCli, type CliOptions } from '../../support/run-cli.js';
import { startStatements, untilItWaits } from '../../support/statements.js';
import { openTransaction, sendStatement, startWriters } from '../../support/traffic.js';
import { waitFor } from '../../support/wait-for.js';

const ALTER = 'ALTER TABLE orders ADD COLUMN note text';
const MAX_BLOCK_MS = 1_000;
const BOUND_MS = MAX_BLOCK_MS + 1_500;

let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;

beforeAll(async () => {
  server = await startServer({ settings: { max_prepared_transactions: 5 } });
  db = await createDatabase(server.url);
}, 60_000);
beforeEach(async () => {
  await db.sql`DROP TABLE IF EXISTS orders, items`;
  await db.sql`CREATE TABLE orders (id serial PRIMARY KEY)`;
  await db.sql`CREATE TABLE items (id serial PRIMARY KEY)`;
  await db.sql`INSERT INTO orders DEFAULT VALUES`;
});
afterEach(assertNothingLeft);
afterAll(async () => {
  await db.drop();
  await server.stop();
});

interface Given extends CliOptions {
  options?: string[];
  retries?: number;
  url?: string;
}

/** Runs the statements in one session. */
function migrate(
  statements: (string | number)[],
  { options = [], retries = 0, url = db.url, env = {} }: Given = {},
) {
  const own = ['--max-block', `${MAX_BLOCK_MS}ms`, '--retries', `${retries}`, ...options];
  return startStatements(statements, { url, options: own, env });
}

const blocking = (events: readonly MigrateLockEvent[]) =>
  events.flatMap((event) => (event.event === 'database.blocking' ? [event] : []));

/** Resolves when a session of the lease has the lock on the table. */
async function untilLocked(table: string): Promise<void> {
  await waitFor(`${table} is locked`, async () => {
    const [row] = await db.sql`
      SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
       WHERE datname = current_database() AND application_name LIKE 'migrate-lock:%' AND granted AND mode = 'AccessExclusiveLock'
         AND relation = ${table}::regclass`;
    return row !== undefined;
  });
}

test('a statement that waits for a long reader is cancelled when others have waited behind it', async () => {
  const reader = await openTransaction(db.url, 'SELECT * FROM orders');
  const writers = startWriters(db.url, 'orders', 5);
  const run = migrate([ALTER], { env: { ON_ERROR_STOP: '1' } });
  const { code, events, stderr } = await run.done;
  const { longestMs } = await writers.stop();
  await reader.end();
  expect(longestMs).toBeGreaterThan(MAX_BLOCK_MS - 100);
  expect(longestMs).toBeLessThan(BOUND_MS);
  expect(code).toBe(3);
  expect(blocking(events)).toMatchObject([
    {
      ...{ statement: ALTER, object: 'public.orders', waiting: 5, action: 'cancelled', reason: null },
      state: 'active',
    },
  ]);
  expect(stderr).toMatch(
    /5 sessions have waited up to 1\S*s for public\.orders behind session \d+ of the command \(ALTER TABLE orders ADD COLUMN note text\): its statement was cancelled/,
  );
});

test('a session that is idle in a transaction is ended: a cancellation does nothing there', async () => {
  const run = migrate(['BEGIN', 'LOCK TABLE orders', 60_000]);
  await run.waitForEvent('child.started');
  await untilLocked('orders');
  const waitedMs = await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  expect(waitedMs).toBeLessThan(BOUND_MS);
  const event = await run.waitForEvent('database.blocking');
  expect(event).toMatchObject({
    action: 'terminated',
    state: 'idle in transaction',
    statement: 'LOCK TABLE orders',
  });
  run.kill('SIGTERM');
  expect(blocking((await run.done).events)).toHaveLength(1);
});

test('a lock that a savepoint keeps after the cancellation ends with the session', async () => {
  const run = migrate([
    'BEGIN',
    'LOCK TABLE orders',
    'SAVEPOINT a',
    'SELECT pg_sleep(60)',
    'ROLLBACK TO a',
    'SELECT pg_sleep(60)',
  ]);
  await untilLocked('orders');
  const waitedMs = await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  expect(waitedMs).toBeLessThan(BOUND_MS);
  await run.waitForEvent('database.blocking', ({ action }) => action === 'terminated');
  const { code, events } = await run.done;
  expect(blocking(events)).toMatchObject([
    { action: 'cancelled', state: 'active' },
    { action: 'terminated' },
  ]);
  // The program has gone on, and has exited with 0.
  expect(events).toContainEqual(expect.objectContaining({ event: 'child.exited', exitCode: 0 }));
  expect(code).toBe(74);
});

test('a session that ignores the cancellation is ended 500 ms later', async () => {
  const stubborn = `DO $$ BEGIN LOCK TABLE orders;
    LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$`;
  const run = migrate([stubborn], { env: { ON_ERROR_STOP: '1' } });
  await untilLocked('orders');
  const waitedMs = await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  expect(waitedMs).toBeLessThan(BOUND_MS);
  const { code, events } = await run.done;
  expect(code).toBe(3);
  const [cancelled, terminated] = blocking(events);
  expect([cancelled?.action, terminated?.action]).toEqual(['cancelled', 'terminated']);
  expect(Date.parse(terminated?.time ?? '') - Date.parse(cancelled?.time ?? '')).toBeGreaterThan(450);
});

test('three sessions of the command that are in the way end at once', async () => {
  const three = `for (const table of ['orders', 'items', 'orders']) {
    postgres(process.env.DIRECT_URL, { max: 1, fetch_types: false }).unsafe('ALTER TABLE ' + table + ' ADD COLUMN a int')
      .catch((error) => console.error(error.code));
  }`;
  const reader = await openTransaction(db.url, 'SELECT FROM orders', 'SELECT FROM items');
  const script = [
    'node',
    '--input-type=module',
    '-e',
    `import postgres from 'postgres'; ${three} setTimeout(() => process.exit(3), 4_000);`,
  ];
  const run = startCli(['run', '--max-block', '1s', '--retries', '0', '--', ...script], {
    env: { DATABASE_URL: db.url, DIRECT_URL: db.url },
  });
  await waitFor('three wait', async () => {
    const rows = await db.sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migrate-lock:%' AND wait_event_type = 'Lock'`;
    return rows.length === 3;
  });
  const writers = ['orders', 'items'].map((table) => startWriters(db.url, table, 3));
  const { code, events } = await run.done;
  for (const { longestMs } of await Promise.all(writers.map(({ stop }) => stop()))) {
    expect(longestMs).toBeGreaterThan(900);
    expect(longestMs).toBeLessThan(BOUND_MS);
  }
  await reader.end();
  expect(code).toBe(3);
  const cancelled = blocking(events);
  expect(new Set(cancelled.map(({ sessionPid }) => sessionPid)).size).toBe(3);
  expect(new Set(cancelled.map(({ action }) => action))).toEqual(new Set(['cancelled']));
});

test('a session that waits through another one counts from when that one waits', async () => {
  // The first waits for the command, the second for a row of the first, for a second longer.
  const first = await openTransaction(db.url, 'UPDATE orders SET id = 1 WHERE id = 1');
  const second = sendStatement(db.url, 'UPDATE orders SET id = 1 WHERE id = 1');
  await waitFor('the second waits', async () => {
    const [row] = await db.sql`SELECT FROM pg_locks WHERE NOT granted`;
    return row !== undefined;
  });
  await new Promise((resolve) => setTimeout(resolve, MAX_BLOCK_MS));
  const run = migrate(['BEGIN', 'LOCK TABLE items', 'SELECT pg_sleep(60)'], { env: { ON_ERROR_STOP: '1' } });
  await untilLocked('items');
  const beganAtMs = Date.now();
  await Promise.all([first.send('INSERT INTO items DEFAULT VALUES'), run.done]);
  const { events } = await run.done;
  await first.end();
  await second.waitedMs;
  const [event] = blocking(events);
  expect(event).toMatchObject({ action: 'cancelled', waiting: 2 });
  // Not as long as the second has waited in all.
  expect(event?.waitedMs).toBeLessThan(MAX_BLOCK_MS + 500);
  expect(Date.parse(event?.time ?? '') - beganAtMs).toBeGreaterThan(MAX_BLOCK_MS - 200);
});

test('a prepared transaction in the way of the command: the command is cancelled, the transaction stays', async () => {
  await db.sql.begin(async (sql) => {
    await sql`INSERT INTO orders DEFAULT VALUES`;
    await sql`PREPARE TRANSACTION 'a'`;
  });
  const run = migrate([ALTER], { env: { ON_ERROR_STOP: '1' } });
  await untilItWaits(db);
  const waitedMs = await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  expect(waitedMs).toBeLessThan(BOUND_MS);
  expect((await run.done).code).toBe(3);
  expect(await db.sql`SELECT gid FROM pg_prepared_xacts`).toHaveLength(1);
  await db.sql`ROLLBACK PREPARED 'a'`;
});

test('a prepared transaction of the command is not ended, and not taken for a session', async () => {
  const run = migrate(['BEGIN', 'LOCK TABLE orders', "PREPARE TRANSACTION 'b'", 3_000]);
  await waitFor('it is prepared', async () => (await db.sql`SELECT FROM pg_prepared_xacts`).length === 1);
  const writer = sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES');
  const { code, events } = await run.done;
  expect(code).toBe(0);
  expect(blocking(events)).toEqual([]);
  await db.sql`ROLLBACK PREPARED 'b'`;
  await writer.waitedMs;
});

test('a session that moved on in time is not touched, and the run succeeds', async () => {
  const run = migrate([
    'BEGIN',
    'LOCK TABLE orders',
    'SELECT pg_sleep(0.7)',
    'COMMIT',
    'SELECT pg_sleep(1.5)',
  ]);
  await untilLocked('orders');
  await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  const { code, events } = await run.done;
  expect(code).toBe(0);
  expect(blocking(events)).toEqual([]);
});

test('a session that waits for an advisory lock does not count: a migration tool has one for others to wait for', async () => {
  const run = migrate(['SELECT pg_advisory_lock(1)', 'SELECT pg_sleep(3)']);
  await waitFor('it has the lock', async () => {
    const [row] = await db.sql`SELECT FROM pg_locks WHERE locktype = 'advisory'`;
    return row !== undefined;
  });
  const other = sendStatement(db.url, 'SELECT pg_advisory_lock(1)');
  const { code, events } = await run.done;
  await other.waitedMs;
  expect(code).toBe(0);
  expect(blocking(events)).toEqual([]);
});

describe('forms with CONCURRENTLY are reported and not cancelled', () => {
  test('CREATE INDEX CONCURRENTLY', async () => {
    const reader = await openTransaction(db.url, 'INSERT INTO orders DEFAULT VALUES');
    const run = migrate(['/* a comment */ CREATE INDEX CONCURRENTLY by_id ON orders (id)']);
    await untilItWaits(db);
    const other = sendStatement(db.url, 'CREATE INDEX ON orders (id)');
    const event = await run.waitForEvent('database.blocking');
    expect(event).toMatchObject({ action: 'reported', reason: 'concurrently', waiting: 1 });
    await reader.end();
    const { code, events } = await run.done;
    await other.waitedMs;
    expect(code).toBe(0);
    expect(blocking(events)).toHaveLength(1);
  });

  test('DROP INDEX CONCURRENTLY', async () => {
    await db.sql`CREATE INDEX by_id ON orders (id)`;
    const reader = await openTransaction(db.url, 'SELECT FROM orders WHERE id = 1');
    const run = migrate(['DROP INDEX CONCURRENTLY by_id']);
    await untilItWaits(db);
    const other = sendStatement(db.url, 'CREATE INDEX ON orders (id)');
    expect(await run.waitForEvent('database.blocking')).toMatchObject({
      action: 'reported',
      reason: 'concurrently',
    });
    await reader.end();
    expect((await run.done).code).toBe(0);
    await other.waitedMs;
  });
});
