/** The demo must show the damage without the lock every time: its exit code says whether it did. */
import { expect, test } from '@jest/globals';
import { exitCodeOf, judge, type Release } from '../../../examples/demo/drizzle-verdict.mjs';

const INSTANCES = 10;
const ORDERS = 500;

/** What a storm leaves where the backfill ran so often. */
const ranTimes = (times: number, ledger = times * ORDERS): Release => ({
  succeeded: INSTANCES,
  stderr: '',
  runs: [
    { migration: '0000_create_shop', runs: 1 },
    { migration: '0001_backfill_ledger', runs: times },
  ],
  ledger,
  orders: ORDERS,
});

const exitCode = (without: Release, with_: Release) => exitCodeOf(judge(without, with_, INSTANCES).faults);

test('every instance did the damage without the lock, none with it: 0', () => {
  expect(exitCode(ranTimes(INSTANCES), ranTimes(1))).toBe(0);
});

test.each([
  ['no damage: the backfill ran once', ranTimes(1)],
  ['damage by some instances only', ranTimes(INSTANCES - 1)],
  ['the runs are there, the rows in the ledger are not', ranTimes(INSTANCES, ORDERS)],
  ['the backfill did not run', { ...ranTimes(0), runs: [] }],
])('without the lock, %s: 1, and it is said', (_, without) => {
  expect(exitCode(without, ranTimes(1))).toBe(1);
  expect(judge(without, ranTimes(1), INSTANCES)).toMatchObject({
    isDamaged: false,
    faults: [expect.stringContaining('without the lock the backfill ran only')],
  });
});

test.each([
  ['the backfill ran twice', ranTimes(2)],
  ['the ledger has a row too many', ranTimes(1, ORDERS + 1)],
  ['an instance failed', { ...ranTimes(1), succeeded: INSTANCES - 1 }],
  ['a migration is missing', { ...ranTimes(1), runs: [{ migration: '0001_backfill_ledger', runs: 1 }] }],
])('with the lock, %s: 1', (_, with_) => {
  expect(exitCode(ranTimes(INSTANCES), with_)).toBe(1);
});
