import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { query, ReplicatedPair } from './replicated-pair.js';
import { Stage } from './stage.js';

// With synchronous replication every commit is on the standby: the lock survives the loss of the primary.

let pair: ReplicatedPair;
let stage: Stage;

beforeAll(async () => {
  pair = await ReplicatedPair.start();
});
beforeEach(async () => {
  await pair.makeSynchronous();
  stage = new Stage(pair.url);
  await stage.prepare();
});
// Each step runs, whether or not the others fail.
afterEach(() => stage.close());
afterEach(() => assertNothingLeft());
afterEach(() => pair.reunite());
afterAll(() => pair.stop());

/** A session of migrate-lock itself, not of a command. */
async function waitForOurSession(server: EmbeddedServer, state: string): Promise<void> {
  const question = `SELECT FROM pg_stat_activity WHERE application_name = 'migrate-lock' AND ${state}`;
  await waitFor(`a session: ${state}`, async () => (await query(server.url, question)).length > 0);
}

test('a lease, its migration and its waiters survive a failover: no waiter starts before the release on the new primary', async () => {
  const first = await stage.startLong();
  const waiting = stage.short();
  await waiting.waitForEvent('lock.waiting');
  await pair.failOver();
  const late = stage.short();
  expect(await late.waitForEvent('lock.waiting')).toMatchObject({ holder: first.instanceId });
  expect(await stage.ran()).toEqual(new Map([[first.instanceId, false]]));
  first.finish();
  const results = await Promise.all([first.cli.done, waiting.done, late.done]);
  expect(results.map(({ code, stderr }) => (code === 0 ? '' : stderr))).toEqual(['', '', '']);
  for (const { events } of results) expect(events.map(({ event }) => event)).toContain('lock.released');
  expect([...(await stage.ran()).values()]).toEqual([true, true, true]);
});

test('a release is repeated until there is a promoted primary', async () => {
  const first = await stage.startLong();
  await pair.primary.kill();
  first.cli.kill('SIGTERM');
  await first.cli.waitForEvent('child.exited');
  const { relay } = pair.address;
  const refused = relay.accepted();
  await waitFor('a release is refused', () => relay.accepted() > refused);
  pair.address.leadTo(pair.standby);
  await waitForOurSession(pair.standby, `state = 'idle' AND query <> ''`);
  expect(first.cli.events().map(({ event }) => event)).not.toContain('lock.release_failed');
  await pair.promote();
  const { code, events } = await first.cli.done;
  expect(code).toBe(143);
  expect(events.map(({ event }) => event)).toContain('lock.released');
  expect(await stage.holder()).toBeUndefined();
});

test('a wait for a run key goes on through a failover, until the work is done on the new primary', async () => {
  const env = { DATABASE_URL: pair.url };
  await runCli(['init'], { env });
  const waiting = startCli(['wait', '--once', 'after the failover', '--', 'true'], { env });
  const question = 'SELECT FROM migrate_lock.migration_lock_watcher';
  await waitFor('it is announced', async () => (await query(pair.primary.url, question)).length === 1);
  await pair.primary.kill();
  await waiting.waitForEvent('database.unavailable');
  pair.address.leadTo(pair.standby);
  await pair.promote();
  expect(await runCli(['run', '--once', 'after the failover', '--', 'true'], { env })).toMatchObject({
    code: 0,
  });
  expect(await waiting.done).toMatchObject({ code: 0 });
});

test('a role with synchronous_commit = local gets its answer only when the standby has the lease', async () => {
  await query(pair.primary.url, 'ALTER ROLE postgres SET synchronous_commit = local');
  await stage.run(['--', 'true']).done;
  await pair.holdBack();
  const starting = stage.startLong();
  await waitForOurSession(pair.primary, `wait_event = 'SyncRep'`);
  await pair.letThrough();
  const first = await starting;
  await pair.failOver();
  expect(await stage.holder()).toBe(first.instanceId);
  first.cli.kill('SIGTERM');
  await first.cli.done;
});

test('a former primary that is cut off from its standby grants no lease', async () => {
  await stage.run(['--', 'true']).done;
  await pair.catchUp(); // a release does not wait for the standby
  await pair.promote();
  pair.address.leadTo(pair.standby);
  const stranded = stage.run(['--wait-timeout', '0', '--', 'true'], pair.primary.url);
  const { code, events } = await stranded.done;
  expect(code).toBe(69);
  expect(events.map(({ event }) => event)).not.toContain('lock.acquired');
  expect((await stage.short().done).code).toBe(0);
});

test('an acquisition whose wait for the standby a restart interrupted gets its answer only when the standby has the lease', async () => {
  await stage.run(['--', 'true']).done;
  await pair.holdBack();
  const starting = stage.startLong(['--wait-timeout', '50s']);
  await waitForOurSession(pair.primary, `wait_event = 'SyncRep'`);
  await pair.primary.restart('fast');
  await waitForOurSession(pair.primary, `wait_event = 'SyncRep'`);
  await pair.letThrough();
  const first = await starting;
  await pair.failOver();
  expect(await stage.holder()).toBe(first.instanceId);
  first.cli.kill('SIGTERM');
  await first.cli.done;
});
