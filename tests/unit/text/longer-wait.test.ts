import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_DURATION_MS, parseDuration } from '../../../src/text/duration.js';
import { LockWaitTimeoutError } from '../../../src/lock/lock-wait-timeout-error.js';
import { insteadOfWaiting, longerWait } from '../../../src/text/longer-wait.js';

const MINUTE = 60_000;

test.each([
  [3_000, 597_000, '10m'],
  [30_000, 11_000, '5m'],
  [30_000, null, '5m'],
  [0, 0, '5m'],
  [15 * MINUTE, 10_000, '30m'],
  [1_000, 61 * MINUTE, '65m'],
  [1_000, 25 * 60 * MINUTE - 1, '25h'],
  [MAX_DURATION_MS, 10_000, '576h'],
])('after %d ms, with %s ms of the lease left: %s', (waitedMs, expiresInMs, proposed) => {
  expect(longerWait({ waitedMs, expiresInMs, holder: 'x' })).toBe(proposed);
});

test('the proposed timeout is accepted, longer than the last one, and covers the lease', () => {
  const ms = fc.integer({ min: 0, max: MAX_DURATION_MS });
  fc.assert(
    fc.property(ms, ms, (waitedMs, expiresInMs) => {
      const proposedMs = parseDuration(longerWait({ waitedMs, expiresInMs, holder: 'x' })) ?? NaN;
      expect(proposedMs).toBeGreaterThanOrEqual(Math.max(waitedMs, expiresInMs));
    }),
  );
});

test('names unlock only when the rest of the lease is long and the holder is known', () => {
  const told = { waitedMs: 3_000, expiresInMs: 597_000, holder: 'x' };
  expect(insteadOfWaiting(told)).toContain('migrate-lock unlock --force --instance x');
  expect(insteadOfWaiting({ ...told, expiresInMs: 20_000 })).toBeUndefined();
  expect(insteadOfWaiting({ ...told, holder: null, expiresInMs: null })).toBeUndefined();
});

test("the library's error gives the same advice", () => {
  const holder = {
    ...{
      instanceId: 'x',
      fencingToken: 1,
      host: null,
      pid: null,
      dbRole: 'app',
      command: null,
      runKey: null,
    },
    ...{ lockedAtMs: 0, expiresAtMs: 1, heldMs: 3_000, expiresInMs: 597_000, releasedAtMs: null },
  };
  expect(new LockWaitTimeoutError(holder, 3_000, 1).hint).toMatch(
    /for example 10m\. .*unlock --force --instance x/,
  );
  expect(new LockWaitTimeoutError(null, 3_000, 1, 2).hint).toBe(
    'The lock changed hands 2 times during the wait. Wait longer with --wait-timeout (waitTimeoutMs), for example 5m. ' +
      'Or find out what the holder is doing: `migrate-lock status`.',
  );
});
