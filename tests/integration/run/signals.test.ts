import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const SIGNAL_LOG = new URL('../../support/fixtures/signal-log.mjs', import.meta.url).pathname;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(() => assertNothingLeft());
afterAll(() => db.drop());

function start(args: string[]) {
  return startCli(['run', ...args], { env: { DATABASE_URL: db.url } });
}

describe('while the child runs', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)(
    '%s reaches the child once for each arrival, and does not end migrate-lock',
    async (signal) => {
      const cli = start(['--', 'node', SIGNAL_LOG]);
      await waitFor('the child is ready', () => cli.stderr().includes('ready'));
      for (let sent = 1; sent <= 2; sent++) {
        cli.kill(signal);
        await waitFor(`arrival ${sent}`, () => cli.stderr().split(signal).length - 1 === sent);
      }
      expect(cli.events().map(({ event }) => event)).not.toContain('child.exited');
      await endChild(cli);
    },
  );

  test('a child that dies of it: 128+n, and the lease is released', async () => {
    const cli = start(['--', 'sleep', '1000']);
    await cli.waitForEvent('child.started');
    cli.kill('SIGINT');
    const { code, events } = await cli.done;
    expect(code).toBe(130);
    expect(events.map(({ event }) => event)).toContain('lock.released');
    expect(events.at(-1)).toMatchObject({ outcome: 'interrupted', exitCode: 130 });
  });

  test('a child that handles it: its own exit code', async () => {
    const cli = start(['--', 'sh', '-c', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done']);
    await waitFor('the child is ready', () => cli.stderr().includes('ready'));
    cli.kill('SIGTERM');
    const { code, events } = await cli.done;
    expect(code).toBe(3);
    expect(events.at(-1)).toMatchObject({ outcome: 'completed' });
  });
});

describe('while waiting', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s ends the wait at once, and leaves no waiter: %i', async (signal, exitCode) => {
    const holder = start(['--', 'sleep', '1000']);
    await holder.waitForEvent('child.started');
    const waiter = start(['--wait-timeout', '10m', '--', 'true']);
    await waiter.waitForEvent('lock.waiting');
    waiter.kill(signal);
    const { code, events } = await waiter.done;
    expect(code).toBe(exitCode);
    expect(events.at(-1)).toMatchObject({ outcome: 'interrupted', exitCode });
    expect(await db.sql`SELECT FROM migrate_lock.migration_lock_waiter`).toHaveLength(0);
    holder.kill('SIGTERM');
    await holder.done;
  });

  test('for a database that is down: ends at once', async () => {
    const cli = startCli(['run', '--wait-timeout', '10m', '--', 'true'], {
      env: { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/db' },
    });
    await cli.waitForEvent('database.unavailable');
    cli.kill('SIGTERM');
    expect((await cli.done).code).toBe(143);
  });
});

async function endChild(cli: ReturnType<typeof start>): Promise<void> {
  const { childPid } = await cli.waitForEvent('child.started');
  process.kill(childPid, 'SIGKILL');
  expect((await cli.done).code).toBe(137);
}
