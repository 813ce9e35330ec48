/** How tries of a command follow each other: signals, and the unclean end of an earlier try. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { MigrateLockEvent } from '../../../src/events/events.js';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { startRelay } from '../../support/relay.js';
import { assertNothingLeft, NODE, startCli, type CliOptions } from '../../support/run-cli.js';
import { STATEMENTS_PROGRAM, startOver, startStatements, untilLocked } from '../../support/statements.js';
import { openTransaction, sendStatement } from '../../support/traffic.js';

let folder: string;
let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'tries-'));
});
beforeEach(() => startOver(db));
afterEach(assertNothingLeft);
afterAll(async () => {
  await db.drop();
  rmSync(folder, { recursive: true });
});

/** Runs the statements in one session. */
function migrate(statements: (string | number)[], options: string[] = [], { env = {} }: CliOptions = {}) {
  const own = ['--max-block', '500ms', '--retries', '0', ...options];
  return startStatements(statements, { url: db.url, options: own, env });
}
const named = (events: readonly MigrateLockEvent[], name: string) =>
  events.filter(({ event }) => event === name);

test('a signal during the search for INVALID indexes: the command is not started', async () => {
  const relay = await startRelay({ host: '127.0.0.1', port: Number(new URL(serverUrl()).port) });
  try {
    const held = new Promise<void>((resolve) =>
      relay.beforeRequest('indisvalid', () => {
        relay.set('hold');
        resolve();
      }),
    );
    const run = migrate([], ['--retries', '1'], { env: { DATABASE_URL: relay.through(db.url) } });
    await held;
    run.kill('SIGTERM');
    // Time for the signal to arrive: the command must not start when the database answers again.
    await new Promise((resolve) => setTimeout(resolve, 300));
    relay.set('pass');
    const { code, events } = await run.done;
    expect(named(events, 'child.started')).toEqual([]);
    expect(code).toBe(143);
  } finally {
    await relay.close();
  }
});

test('the unclean end of an earlier try stays when the last try fails by itself', async () => {
  const reader = await openTransaction(db.url, 'SELECT FROM orders');
  const tried = join(folder, 'tried');
  const script = `[ ! -e "$TRIED" ] || exit 4; touch "$TRIED"; exec "$NODE" "${STATEMENTS_PROGRAM}"`;
  const run = startCli(['run', '--max-block', '500ms', '--retries', '1', '--', 'sh', '-c', script], {
    env: {
      ...{ DATABASE_URL: db.url, DIRECT_URL: db.url, NODE, TRIED: tried },
      STATEMENTS: JSON.stringify(['ALTER TABLE orders ADD COLUMN note text']),
    },
  });
  await untilLocked(db, 'orders', false);
  await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  const { code, events } = await run.done;
  await reader.end();
  expect(named(events, 'child.retry')).toMatchObject([{ isCutOff: true }]);
  expect(code).toBe(4);
  expect(await db.sql`SELECT kind FROM migrate_lock.migration_lock_unclean_end`).toMatchObject([
    { kind: 'leftovers' },
  ]);
});

test('a command that a signal has ended is not started again, also after a cancellation', async () => {
  const run = migrate(['BEGIN', 'LOCK TABLE orders', 60_000], ['--retries', '1']);
  const { childPid } = await run.waitForEvent('child.started');
  await untilLocked(db, 'orders');
  await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  await run.waitForEvent('database.blocking');
  process.kill(childPid, 'SIGKILL');
  const { code, events } = await run.done;
  expect(named(events, 'child.retry')).toEqual([]);
  expect(code).toBe(137);
});

test('a search for INVALID indexes that hangs does not delay the release past the lease', async () => {
  const relay = await startRelay({ host: '127.0.0.1', port: Number(new URL(serverUrl()).port) });
  try {
    const run = migrate(
      ['BEGIN', 'LOCK TABLE orders', 'SELECT pg_sleep(60)'],
      ['--ttl', '12s', '--kill-grace', '100ms', '--retries', '1'],
      { env: { DATABASE_URL: relay.through(db.url) } },
    );
    await run.waitForEvent('child.started');
    relay.beforeRequest('indisvalid', () => relay.set('hold'));
    await untilLocked(db, 'orders');
    await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
    expect(await run.waitForEvent('child.retries_ended')).toMatchObject({ retry: 1, reason: 'database' });
    relay.set('pass');
    const { code, events } = await run.done;
    // The look itself would wait for 15 s.
    expect(named(events, 'lock.released')).toHaveLength(1);
    const [released] = named(events, 'lock.released') as { heldMs: number }[];
    expect(released?.heldMs).toBeLessThan(12_000);
    expect(code).toBe(74);
  } finally {
    await relay.close();
  }
});

test('people read why a command that failed is not started again', async () => {
  const run = startCli(
    ['run', '--ttl', '5s', '--kill-grace', '100ms', '--retries', '1', '--', 'sh', '-c', 'sleep 2; exit 3'],
    {
      env: { DATABASE_URL: db.url },
    },
  );
  const { code, events, stderr } = await run.done;
  expect(code).toBe(3);
  expect(named(events, 'child.retries_ended')).toMatchObject([{ reason: 'time' }]);
  expect(stderr).toContain('the command is not started again: less time is left than its last try took');
});
