import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { applicationName } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { hasPooler, startPooler, type Pooler } from '../../support/pooler.js';
import { childrenOf, endProcess } from '../../support/processes.js';
import { assertNothingLeft, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

// These tests stop and restart a server, so they start their own and ignore TEST_DATABASE_URL.
let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;
let pooler: Pooler;

function start(args: string[]) {
  return startCli(['run', ...args], { env: { DATABASE_URL: pooler.through(db.url) } });
}

(hasPooler ? describe : describe.skip)('behind a pooler', () => {
  beforeAll(async () => {
    server = await startServer();
    db = await createDatabase(server.url);
    // How soon the pooler tries the server again; 15 s by default.
    pooler = await startPooler(server.url, { settings: { server_login_retry: 1 } });
  });
  afterEach(async () => {
    await assertNothingLeft();
    await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  });
  afterAll(async () => {
    await pooler.stop();
    await db.sql.end({ timeout: 1 });
    await server.stop();
  });

  test('a database that is not up yet is waited for', async () => {
    await start(['--', 'true']).done;
    await server.halt('fast');
    const cli = start(['--wait-timeout', '2m', '--', 'true']);
    await cli.waitForEvent('database.unavailable');
    await server.start();
    const { code, stderr } = await cli.done;
    expect({ code, stderr }).toMatchObject({ code: 0 });
  });

  test.each(['fast', 'immediate'] as const)(
    'a database that restarts (%s) during the command: the lease is released afterwards',
    async (mode) => {
      const cli = start(['--ttl', '2m', '--', 'sleep', '1000']);
      await cli.waitForEvent('child.started');
      await server.halt(mode);
      cli.kill('SIGTERM');
      await cli.waitForEvent('child.exited');
      await server.start();
      const { code, events } = await cli.done;
      expect(code).toBe(143);
      expect(events.map(({ event }) => event)).toContain('lock.released');
    },
  );

  test("a takeover waits for a statement that outlives its client, at the waiters' usual pace", async () => {
    const holder = start(['--ttl', '3s', '--kill-grace', '100ms', '--', 'sleep', '1000']);
    const { instanceId } = await holder.waitForEvent('child.started');
    const worker = postgres(pooler.through(db.url), {
      max: 1,
      onnotice: () => undefined,
      connection: { application_name: applicationName(instanceId) },
    });
    const running = worker`SELECT pg_sleep(8)`.catch(() => 'cut off');
    holder.kill('SIGSTOP'); // otherwise it would replace its guard
    for (const pid of childrenOf(holder.pid)) await endProcess(pid);
    holder.kill('SIGKILL');
    await holder.done;
    const name = applicationName(instanceId);
    const atWork = () =>
      db.sql`SELECT pid FROM pg_stat_activity WHERE application_name = ${name} AND state = 'active'`;
    await waitFor('it runs', async () => (await atWork()).length === 1);
    await worker.end({ timeout: 0 });
    expect(await running).toBe('cut off');

    const impatient = await start(['--wait-timeout', '5s', '--', 'true']).done;
    expect(impatient.code).toBe(75);
    const timeout = impatient.events.find(({ event }) => event === 'wait.timeout');
    expect(timeout).toMatchObject({ holder: instanceId });
    expect(timeout && 'polls' in timeout && timeout.polls).toBeLessThan(30);
    expect(await atWork()).toHaveLength(1);
    const next = await start(['--', 'true']).done;
    expect(next.code).toBe(0);
    expect(next.events.find(({ event }) => event === 'lock.takeover')).toMatchObject({ sessionsEnded: 0 });
    expect(await atWork()).toHaveLength(0);
  });
});
