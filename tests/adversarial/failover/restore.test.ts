import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft } from '../../support/run-cli.js';
import { copyData } from './copy-data.js';
import { expectLost } from './expect-lost.js';
import { openStableAddress, type StableAddress } from './stable-address.js';
import { Stage } from './stage.js';

// A restored backup restores the lock too, with a lease that was released since the backup.

let original: EmbeddedServer;
let restored: EmbeddedServer;
let address: StableAddress;
let stage: Stage;

beforeAll(async () => {
  [original, restored] = await Promise.all([startServer(), startServer()]);
  address = await openStableAddress(original);
  stage = new Stage(address.relay.through(original.url));
  await stage.prepare();
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  stage.close();
  await Promise.all([address.relay.close(), original.stop(), restored.stop()]);
});

test('a lease restored from a backup expires by itself; leases acquired after the backup are lost', async () => {
  const first = await stage.startLong(['--ttl', '10s', '--kill-grace', '100ms']);
  const { expiresAt } = await first.cli.waitForEvent('lock.acquired');
  await original.halt();
  await restored.halt();
  await copyData(original, restored);
  await original.start();
  first.finish();
  expect((await first.cli.done).code).toBe(0);
  const since = await stage.startLong();

  await original.kill();
  await restored.start();
  address.leadTo(restored);
  const next = await stage.run(['--wait-timeout', '50s', '--', 'true']).done;
  expect({ code: next.code, stderr: next.stderr }).toMatchObject({ code: 0 });
  const takeover = next.events.find(({ event }) => event === 'lock.takeover');
  expect(takeover).toMatchObject({ previousInstanceId: first.instanceId });
  expect(Date.parse(takeover?.time ?? '')).toBeGreaterThanOrEqual(Date.parse(expiresAt));
  // The sequence was restored too.
  expect(takeover?.fencingToken).toBe(since.fencingToken);
  await expectLost(since, takeover?.instanceId ?? '');
});
