import { describe, expect, test } from '@jest/globals';
import { serverUrl, type TestDatabase } from '../../support/database.js';
import { hasPooler, startPooler } from '../../support/pooler.js';
import { startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

/**
 * Starts a holder, and a waiter that polls more than once.
 * @returns whether a release notifies the waiter.
 */
async function listens(url: string, args: string[], env: Record<string, string> = {}): Promise<boolean> {
  const holder = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
  await holder.waitForEvent('child.started');
  const waiter = startCli(['run', ...args, '--', 'true'], { env: { DATABASE_URL: url, ...env } });
  await waiter.waitForEvent('lock.waiting');
  const look = async (): Promise<boolean> => {
    const [row] = await db.sql`SELECT listens FROM migrate_lock.migration_lock_waiter`;
    return row?.listens === true;
  };
  // The second event comes after about ten seconds: by then it has polled many times.
  const decided = args.length > 0 || Object.keys(env).length > 0 || url !== db.url;
  if (decided) await waiter.waitForEvent('lock.waiting', ({ waitedMs }) => waitedMs > 9_000);
  else await waitFor('it to listen', look);
  const result = await look();
  waiter.kill('SIGINT');
  await waiter.done;
  holder.kill('SIGTERM');
  await holder.done;
  return result;
}

test('a lone waiter listens', async () => {
  expect(await listens(db.url, [])).toBe(true);
});

test.each([
  ['--no-listen', ['--no-listen'], {}],
  ['MIGRATE_LOCK_NO_LISTEN=1', [], { MIGRATE_LOCK_NO_LISTEN: '1' }],
] as const)('%s: a waiter only polls', async (_, args, env) => {
  expect(await listens(db.url, [...args], env)).toBe(false);
});

(hasPooler ? describe : describe.skip)('behind a pooler (skipped where PgBouncer is missing)', () => {
  test('a waiter only polls', async () => {
    const pooler = await startPooler(serverUrl(), {});
    try {
      expect(await listens(pooler.through(db.url), [])).toBe(false);
    } finally {
      await pooler.stop();
    }
  });
});
