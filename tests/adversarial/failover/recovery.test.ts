import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { query } from './replicated-pair.js';
import { Stage } from './stage.js';

// One address, whose primary crashes and restarts as Patroni starts it: as a replica that accepts no writes, until it
// is promoted.

let server: EmbeddedServer;
let stage: Stage;

beforeAll(async () => {
  server = await startServer();
});
beforeEach(async () => {
  stage = new Stage(server.url);
  await stage.prepare();
});
afterEach(() => stage.close());
afterEach(() => assertNothingLeft());
afterEach(async () => {
  const [row] = await query(server.url, 'SELECT pg_is_in_recovery() AS recovers');
  if (row?.recovers === true) await promote();
});
afterAll(() => server.stop());

async function crash(): Promise<void> {
  await server.kill();
  writeFileSync(join(server.dataDirectory, 'standby.signal'), '');
  await server.start();
}

const promote = () => query(server.url, 'SELECT pg_promote()');

test.each([
  ['a held lock', true],
  ['no lock yet', false],
])('a waiting run continues when the server accepts writes again: %s', async (_, isHeld) => {
  const holder = isHeld ? await stage.startLong(['--ttl', '2m']) : undefined;
  const early = isHeld ? stage.run(['--wait-timeout', '90s', '--', 'true']) : undefined;
  await early?.waitForEvent('lock.waiting');
  await crash();
  const late = stage.run(['--wait-timeout', '90s', '--', 'true']);
  const waiters = [late, ...(early === undefined ? [] : [early])];
  for (const waiter of waiters) {
    const { message } = await waiter.waitForEvent(
      'database.unavailable',
      ({ code }) => code === 'IN_RECOVERY',
    );
    expect(message).toContain('in recovery');
    await waitFor('it says so to people', () => waiter.stderr().includes('trying again'));
  }
  await promote();
  if (holder !== undefined) {
    await late.waitForEvent('lock.waiting');
    holder.finish();
    expect((await holder.cli.done).code).toBe(0);
  }
  for (const waiter of waiters) {
    const { code, stderr } = await waiter.done;
    expect({ code, stderr }).toMatchObject({ code: 0 });
  }
});

test('a server still in recovery at the end of the wait is reported as a replica: 78', async () => {
  await stage.run(['--', 'true']).done;
  await crash();
  for (const timeout of ['0', '1s']) {
    const { code, stderr } = await stage.run(['--wait-timeout', timeout, '--', 'true']).done;
    expect({ code, stderr }).toMatchObject({ code: 78 });
    expect(stderr).toMatch(/cannot be written to .*in recovery.*\n.*replica/);
  }
  expect((await runCli(['status'], { env: { DATABASE_URL: server.url }, auditOnly: false })).code).toBe(0);
});

test('a release during recovery is repeated until the recovery ends', async () => {
  const holder = await stage.startLong(['--ttl', '2m']);
  await crash();
  holder.cli.kill('SIGTERM');
  await holder.cli.waitForEvent('lock.release_delayed');
  await promote();
  const { events } = await holder.cli.done;
  expect(events.map(({ event }) => event)).toContain('lock.released');
});
