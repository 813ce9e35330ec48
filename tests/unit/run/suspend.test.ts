import { expect, test } from '@jest/globals';
import { watchSuspend } from '../../../src/run/suspend.js';
import { waitFor } from '../../support/wait-for.js';

test('reports a suspend once, and nothing else', async () => {
  let asleepMs = 0;
  let reads = 0;
  const told: number[] = [];
  const clocks = {
    monotonicMs: () => 5_000,
    bootMs: () => {
      reads++;
      return 5_000 + asleepMs;
    },
  };
  const stop = watchSuspend((suspendedMs) => told.push(suspendedMs), clocks, 1);
  await waitFor('some reads', () => reads > 5);
  asleepMs = 60_000;
  await waitFor('the report', () => told.length > 0);
  const seen = reads;
  await waitFor('more reads', () => reads > seen + 5);
  asleepMs = 60_300; // within the precision of the clocks
  await waitFor('more reads', () => reads > seen + 10);
  stop();
  expect(told).toEqual([60_000]);
});

test('reports nothing without a clock that counts suspended time', async () => {
  let now = 0;
  const told: number[] = [];
  const stop = watchSuspend(
    (suspendedMs) => told.push(suspendedMs),
    { monotonicMs: () => (now += 1_000), bootMs: () => undefined },
    1,
  );
  await waitFor('some reads', () => now > 20_000);
  stop();
  expect(told).toEqual([]);
});
