import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { checkTimes } from '../../../src/cli/check-times.js';
import { MAX_DURATION_MS, parseDuration } from '../../../src/text/duration.js';
import { UsageError } from '../../../src/errors.js';

const nameOf = (key: 'ttl' | 'killGrace') => (key === 'ttl' ? '--ttl' : 'MIGRATE_LOCK_KILL_GRACE');

function refusal(ttl: number, killGrace: number): UsageError | undefined {
  try {
    checkTimes({ ttl, killGrace }, nameOf);
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/** The value in the hint, as a user types it. */
const proposed = (hint: string) =>
  [...hint.matchAll(/(--ttl |MIGRATE_LOCK_KILL_GRACE=)(\w+)/g)].map(([, name = '', value = '']) => ({
    isTtl: name === '--ttl ',
    ms: parseDuration(value) ?? NaN,
  }));

describe('a lease that is too short for its command', () => {
  test('is refused, and the message quotes the value and names the flag or variable', () => {
    const { message, hint } = refusal(30_000, 40_000) ?? {};
    expect(message).toMatch(/^--ttl 30s leaves the command no time: MIGRATE_LOCK_KILL_GRACE=40s and /);
    expect(hint).toBe(
      'Give a longer lease, for example --ttl 168s, or a shorter kill grace, for example MIGRATE_LOCK_KILL_GRACE=5s.',
    );
    expect(refusal(30_000, 5_000)).toBeUndefined();
  });

  test('gets a hint whose values are accepted, also for the longest lease', () => {
    const { hint } = refusal(MAX_DURATION_MS, MAX_DURATION_MS) ?? {};
    expect(hint).toBe('Give a shorter kill grace, for example MIGRATE_LOCK_KILL_GRACE=5s.');
    const durations = fc.oneof(
      fc.integer({ min: 1, max: 10_000 }),
      fc.integer({ min: 1, max: MAX_DURATION_MS }),
      fc.integer({ min: MAX_DURATION_MS - 10_000, max: MAX_DURATION_MS }),
    );
    fc.assert(
      fc.property(durations, durations, (ttl, killGrace) => {
        const error = refusal(ttl, killGrace);
        if (error === undefined) return;
        const values = proposed(error.hint);
        expect(values.length).toBeGreaterThan(0);
        for (const { isTtl, ms } of values) {
          expect(ms).toBeGreaterThanOrEqual(0);
          expect(ms).toBeLessThanOrEqual(MAX_DURATION_MS);
          if (!error.hint.includes(' and ')) {
            expect(refusal(isTtl ? ms : ttl, isTtl ? killGrace : ms)).toBeUndefined();
          }
        }
        if (error.hint.includes(' and ')) {
          expect(refusal(values[0]?.ms ?? NaN, values[1]?.ms ?? NaN)).toBeUndefined();
        }
      }),
      {
        numRuns: 1_000,
        examples: [
          [600, 5_000],
          [1, 1],
          [MAX_DURATION_MS, MAX_DURATION_MS - 1],
        ],
      },
    );
  });
});
