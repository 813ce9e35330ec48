import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const LOOK = new URL('../../support/fixtures/holders-session.mjs', import.meta.url).pathname;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  // Applies the schema.
  await start('--', 'true').done;
});
afterEach(() => assertNothingLeft());
afterAll(() => db.drop());

const start = (...args: string[]): RunningCli =>
  startCli(['run', ...args], { env: { DATABASE_URL: db.url } });

/** The session of the holder as its command sees it, at its start and later. */
async function sessionOf(holder: RunningCli): Promise<{ before: unknown[]; after: unknown[] }> {
  const { code, stderr } = await holder.done;
  expect(code).toBe(0);
  const line = stderr.split('\n').find((one) => one.startsWith('{')) ?? '';
  return JSON.parse(line) as { before: unknown[]; after: unknown[] };
}

/** Its last statement is the poll that acquired the lease. */
const IDLE = {
  state: 'idle',
  query: expect.stringContaining('"migrate_lock".poll('),
  isOlder: true,
  backend_xid: null,
  backend_xmin: null,
  locks: 0,
};

describe('while the command runs, the session sends nothing and has no transaction and no lock', () => {
  test('of a holder that did not wait', async () => {
    const { before, after } = await sessionOf(start('--', 'node', LOOK));
    expect(before).toEqual([expect.objectContaining(IDLE)]);
    expect(after).toEqual(before);
  });

  test('of a holder that was notified of a release', async () => {
    const first = start('--', 'sleep', '1000');
    await first.waitForEvent('child.started');
    const second = start('--', 'node', LOOK);
    await waitFor('it to listen', async () => {
      return (await db.sql`SELECT FROM migrate_lock.migration_lock_waiter WHERE listens`).length === 1;
    });
    first.kill('SIGTERM');
    await first.done;
    const { before, after } = await sessionOf(second);
    expect(before).toEqual([expect.objectContaining(IDLE)]);
    expect(after).toEqual(before);
  });
});
