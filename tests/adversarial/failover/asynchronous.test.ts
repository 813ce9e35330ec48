import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { isAlive } from '../../support/processes.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { expectLost } from './expect-lost.js';
import { ReplicatedPair } from './replicated-pair.js';
import { Stage, type LongRun } from './stage.js';

// With asynchronous replication, a failover can lose the newest commits, and a lease with them. Tests the remaining
// guarantees.

let pair: ReplicatedPair;
let stage: Stage;

beforeAll(async () => {
  pair = await ReplicatedPair.start();
});
beforeEach(async () => {
  stage = new Stage(pair.url);
  await stage.prepare();
});
// Each step runs, whether or not the others fail.
afterEach(() => stage.close());
afterEach(() => assertNothingLeft());
afterEach(() => pair.reunite());
afterAll(() => pair.stop());

/** Acquires while the standby lags, and loses the primary: the promoted standby does not have this lease. */
async function startAndLose(): Promise<LongRun> {
  await pair.catchUp();
  await pair.holdBack();
  const first = await stage.startLong();
  await pair.failOver();
  return first;
}

test('a lease that reached the standby in time stays valid after the failover', async () => {
  const first = await stage.startLong();
  await pair.catchUp();
  await pair.failOver();
  const late = stage.short();
  expect(await late.waitForEvent('lock.waiting')).toMatchObject({ holder: first.instanceId });
  first.finish();
  expect((await first.cli.done).code).toBe(0);
  expect((await late.done).code).toBe(0);
  expect([...(await stage.ran()).values()]).toEqual([true, true]);
});

test('a lease that did not reach the standby is lost: others run, assert_held stops its migration, and its release reports the loss', async () => {
  await stage.run(['--', 'true']).done;
  const first = await startAndLose();
  const other = stage.short();
  expect((await other.done).code).toBe(0);
  const { instanceId, fencingToken } = await other.waitForEvent('lock.acquired');
  expect(isAlive(first.childPid)).toBe(true); // the limit in the README: two at once
  // A standby's sequence is ahead of the issued tokens.
  expect(fencingToken).toBeGreaterThan(first.fencingToken ?? Infinity);
  await expectLost(first, instanceId);
});

test('a fencing token can be issued twice after a failover; the instance ids still differ', async () => {
  await runCli(['init'], { env: { DATABASE_URL: pair.url } });
  const first = await startAndLose();
  const other = await stage.startLong();
  expect(other.fencingToken).toBe(first.fencingToken);
  await expectLost(first, other.instanceId);
  other.finish();
  expect((await other.cli.done).code).toBe(0);
});
