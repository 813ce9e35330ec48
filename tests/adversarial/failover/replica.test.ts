import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { LockCalls } from '../../../src/lock/calls.js';
import { newIdentity } from '../../../src/lock/lease.js';
import { openDatabase } from '../../support/lock.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { ReplicatedPair } from './replicated-pair.js';
import { Stage } from './stage.js';

// A replica only reads: with its address, the program has to report that, and must not believe that it has the lock.

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
afterAll(() => pair.stop());

async function expectRefusal(args: string[]): Promise<void> {
  const { code, events, stderr } = await runCli(args, { env: { DATABASE_URL: pair.standby.url } });
  expect({ code, stderr }).toMatchObject({ code: 78 });
  expect(stderr).toMatch(/cannot be written to .*\n.*replica/);
  const told = events.map(({ event }) => event);
  expect(told).not.toContain('lock.acquired');
  expect(told).not.toContain('child.started');
}

test.each([['run', '--wait-timeout', '1s', '--', 'true'], ['init']])(
  'a replica without the lock schema: %s',
  async (...args) => {
    await pair.catchUp();
    await expectRefusal(args);
  },
);

test('a replica without the lock schema refuses a release as a server in recovery does', async () => {
  await pair.catchUp();
  const database = openDatabase(pair.standby.url);
  const calls = new LockCalls(database, 'migrate_lock');
  try {
    const release = calls.release(newIdentity(), { by: 'holder', end: {}, work: null, orphans: null });
    await expect(release).rejects.toMatchObject({ code: 'IN_RECOVERY' });
  } finally {
    database.disconnect();
  }
  const { code, stdout } = await runCli(['status', '--json'], {
    env: { DATABASE_URL: pair.standby.url },
    auditOnly: false,
  });
  expect({ code, state: (JSON.parse(stdout) as { state: string }).state }).toEqual({
    code: 0,
    state: 'free',
  });
});

test('a replica of a free lock', async () => {
  await stage.run(['--', 'true']).done;
  await pair.catchUp();
  await expectRefusal(['run', '--wait-timeout', '1s', '--', 'true']);
});

test('a replica of a held lock', async () => {
  const holder = await stage.startLong();
  await pair.catchUp();
  await expectRefusal(['run', '--wait-timeout', '1s', '--', 'true']);
  await expectRefusal(['run', '--wait-timeout', '0', '--', 'true']);
  holder.finish();
  expect((await holder.cli.done).code).toBe(0);
});
