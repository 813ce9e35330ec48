import { expect, test } from '@jest/globals';
import { watchSuspend } from '../../../src/run/suspend.js';
import { waitFor } from '../../support/wait-for.js';

test('tells of a sleep once, and of nothing else', async () => {
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
  await waitFor('some looks', () => reads > 5);
  asleepMs = 60_000;
  await waitFor('it is told', () => told.length > 0);
  const seen = reads;
  await waitFor('more looks', () => reads > seen + 5);
  asleepMs = 60_300; // within the precision of the clocks
  await waitFor('more looks', () => reads > seen + 10);
  stop();
  expect(told).toEqual([60_000]);
});

test('without a clock that goes on during a sleep nothing is told', async () => {
  let now = 0;
  const told: number[] = [];
  const stop = watchSuspend(
    (suspendedMs) => told.push(suspendedMs),
    { monotonicMs: () => (now += 1_000), bootMs: () => undefined },
    1,
  );
  await waitFor('some looks', () => now > 20_000);
  stop();
  expect(told).toEqual([]);
});
