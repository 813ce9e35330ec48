import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { childrenOf, endProcess } from '../../support/processes.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

// These tests stop and restart a server, so they start their own and ignore TEST_DATABASE_URL.
let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;
const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-faults-'));

beforeAll(async () => {
  server = await startServer();
  db = await createDatabase(server.url);
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await db.sql.end({ timeout: 1 });
  await server.stop();
});

function start(args: string[]) {
  return startCli(['run', ...args], { env: { DATABASE_URL: db.url } });
}

test('a holder that dies together with its guard keeps the lease until it expires; then it is taken over', async () => {
  const holder = start(['--ttl', '8s', '--kill-grace', '100ms', '--', 'sleep', '1000']);
  await holder.waitForEvent('child.started');
  const acquired = await holder.waitForEvent('lock.acquired');
  holder.kill('SIGSTOP'); // otherwise it would replace its guard
  for (const pid of childrenOf(holder.pid)) await endProcess(pid);
  holder.kill('SIGKILL');
  await holder.done;
  const { code, events } = await runCli(['run', '--', 'true'], { env: { DATABASE_URL: db.url } });
  expect(code).toBe(0);
  expect(events.find(({ event }) => event === 'lock.takeover')).toMatchObject({
    previousInstanceId: acquired.instanceId,
  });
  const [taken] = await db.sql`
    SELECT at > ${acquired.expiresAt}::timestamptz AS after FROM migrate_lock.migration_lock_audit WHERE event = 'lock.takeover'`;
  expect(taken?.after).toBe(true);
});

describe('a database that is unavailable for a while', () => {
  test('is waited for when it is not up yet', async () => {
    await server.halt('fast');
    const cli = start(['--', 'true']);
    await cli.waitForEvent('database.unavailable');
    await server.start();
    const { code, events } = await cli.done;
    expect(code).toBe(0);
    expect(events.at(-1)).toMatchObject({ outcome: 'completed' });
  });

  test.each(['fast', 'immediate'] as const)(
    'that restarts (%s) during the command: the lease is released afterwards',
    async (mode) => {
      const cli = start(['--', 'sleep', '1000']);
      await cli.waitForEvent('child.started');
      await server.restart(mode);
      cli.kill('SIGTERM');
      const { code, events } = await cli.done;
      expect(code).toBe(143);
      expect(events.map(({ event }) => event)).toContain('lock.released');
    },
  );

  test('that is down at the release is tried until another signal; the lease then expires', async () => {
    const cli = start(['--ttl', '1m', '--', 'sh', '-c', 'read line; exit 7']);
    await cli.waitForEvent('child.started');
    await cli.waitForEvent('child.exited');
    expect((await cli.done).code).toBe(7);
    const down = start(['--ttl', '1m', '--', 'sh', '-c', 'trap "exit 7" USR1; while :; do sleep 0.05; done']);
    const acquired = await down.waitForEvent('lock.acquired');
    await down.waitForEvent('child.started');
    await server.halt('fast');
    const { childPid } = await down.waitForEvent('child.started');
    process.kill(childPid, 'SIGUSR1');
    await down.waitForEvent('child.exited');
    // At once, and once only.
    const delayed = await down.waitForEvent('lock.release_delayed', () => true, 10_000);
    expect(delayed).toMatchObject({ expiresAt: acquired.expiresAt });
    down.kill('SIGTERM');
    const { code, events, stderr } = await down.done;
    await server.start();
    expect(code).toBe(7);
    const failed = events.find(({ event }) => event === 'lock.release_failed');
    expect(failed).toMatchObject({
      expiresAt: acquired.expiresAt,
    });
    expect(stderr).toContain('until then no other run can start');
    expect(events.filter(({ event }) => event === 'lock.release_delayed')).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ event: 'run.finished', outcome: 'completed', exitCode: 7 });
  });

  test('that is down at the release with --once: an error says that the success is not stored', async () => {
    const script = 'trap "exit 0" USR1; echo ready; while :; do sleep 0.05; done';
    const cli = start(['--ttl', '1m', '--once', 'v1.2', '--', 'sh', '-c', script]);
    const { childPid } = await cli.waitForEvent('child.started');
    await waitFor('the trap', () => cli.stderr().includes('ready'));
    await server.halt('fast');
    process.kill(childPid, 'SIGUSR1');
    await cli.waitForEvent('lock.release_delayed');
    cli.kill('SIGTERM');
    const { code, events, stderr } = await cli.done;
    await server.start();
    expect(code).toBe(73);
    expect(events.at(-2)).toMatchObject({ event: 'run.not_stored', runKey: 'v1.2' });
    expect(stderr).toContain('the success of v1.2 could not be stored');
  });

  test('is waited for when it has no connection left', async () => {
    await db.sql`ALTER SYSTEM SET max_connections = 12`;
    await server.restart('fast');
    const results = await Promise.all(
      Array.from({ length: 30 }, () =>
        runCli(['run', '--wait-timeout', '2m', '--', 'true'], { env: { DATABASE_URL: db.url } }),
      ),
    );
    await db.sql`ALTER SYSTEM RESET max_connections`;
    await server.restart('fast');
    expect(results.map(({ code }) => code)).toEqual(results.map(() => 0));
  });
});

test('a lock schema that is dropped during the run: the sentences say so, and that other runs can start', async () => {
  const holder = start(['--', 'sh', '-c', 'until [ -e "$0" ]; do sleep 0.05; done', join(folder, 'end')]);
  await holder.waitForEvent('child.started');
  await db.sql`DROP SCHEMA migrate_lock CASCADE`;
  writeFileSync(join(folder, 'end'), '');
  const { code, stderr } = await holder.done;
  expect(code).toBe(0);
  expect(stderr).toContain('The lock schema "migrate_lock" is missing or incomplete');
  expect(stderr).toContain('other runs can start at once');
});

test('a lock schema of which a part is dropped: init does not bring it back, and the sentence says what does', async () => {
  const damaged = await createDatabase(server.url);
  try {
    const env = { DATABASE_URL: damaged.url };
    expect((await runCli(['init'], { env })).code).toBe(0);
    await damaged.sql`DROP FUNCTION migrate_lock.poll`;
    await runCli(['init'], { env });
    const { code, stderr } = await runCli(['run', '--', 'true'], { env });
    expect(code).toBe(77);
    expect(stderr).toContain('poll() is not there');
    expect(stderr).toContain('drop the whole schema');
    // As it says.
    await damaged.sql`DROP SCHEMA migrate_lock CASCADE`;
    expect((await runCli(['run', '--', 'true'], { env })).code).toBe(0);
  } finally {
    await damaged.drop();
  }
});
