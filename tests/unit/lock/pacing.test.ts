import { describe, expect, test } from '@jest/globals';
import { nextCheckMs, nextPause, type LastPoll, type Pace } from '../../../src/lock/pacing.js';

/** Reproducible random numbers (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const outlook: LastPoll = { heldMs: 0, expiresInMs: null, queueLength: 1 };
const pace: Pace = { pollIntervalMs: 1_000, leftMs: 1e9, random: () => 0.5 };

describe('a crowd', () => {
  const crowd = { ...outlook, queueLength: 100 };

  test('polls 50 times a second in total, and 20 times while some of it listen for a release', () => {
    expect(nextPause(crowd, pace).pauseMs).toBe(2_000);
    expect(nextPause({ ...crowd, listening: 1 }, pace).pauseMs).toBe(2_000);
    expect(nextPause({ ...crowd, listening: 2 }, pace).pauseMs).toBe(5_000);
  });

  test('with a run key polls only to stay counted, and reads the key at least every two seconds', () => {
    const many = { ...outlook, queueLength: 200 };
    expect(nextPause(many, pace).pauseMs).toBe(4_000);
    expect(nextPause(many, { ...pace, checksRunKey: true }).pauseMs).toBe(18_000);
    // A poll renews an announcement with less than half of its time left, which is 60 s here (queue.sql).
    expect(nextPause(many, { ...pace, checksRunKey: true, random: () => 1 }).pauseMs).toBeLessThan(30_000);
    for (const edge of [0, 1]) expect(nextCheckMs(() => edge)).toBeLessThanOrEqual(2_000);
  });

  test('that is small, or whose pace is faster, is not slowed down by reading the run key', () => {
    expect(nextPause(outlook, { ...pace, checksRunKey: true }).pauseMs).toBe(100);
  });
});

describe('a lone waiter', () => {
  test('polls after a tenth of the time for which the lease has been held, between 100 ms and the poll interval', () => {
    for (const [heldMs, pauseMs] of [
      [0, 100],
      [500, 100],
      [3_000, 300],
      [60_000, 1_000],
    ] as const) {
      expect(nextPause({ ...outlook, heldMs }, pace)).toEqual({ pauseMs, isLast: false });
    }
  });

  test('multiplies its pause by a random factor from 0.5 to 1.5', () => {
    const pauses = [0, 1].map(
      (edge) => nextPause({ ...outlook, heldMs: 60_000 }, { ...pace, random: () => edge }).pauseMs,
    );
    expect(pauses).toEqual([500, 1_500]);
  });

  test('polls soon after a known expiry', () => {
    const { pauseMs } = nextPause({ ...outlook, heldMs: 29_800, expiresInMs: 200 }, pace);
    expect(pauseMs).toBeGreaterThan(200);
    expect(pauseMs).toBeLessThan(230);
  });

  test('keeps its pace when the expiry has passed and the lock is still not free', () => {
    expect(nextPause({ ...outlook, heldMs: 30_500, expiresInMs: -500 }, pace)).toEqual({
      pauseMs: 1_000,
      isLast: false,
    });
  });

  test('makes its last attempt at the timeout', () => {
    expect(nextPause({ ...outlook, heldMs: 60_000 }, { ...pace, leftMs: 400 })).toEqual({
      pauseMs: 400,
      isLast: true,
    });
  });

  test('makes its last attempt just after the lease ends, when that is within one poll interval after the timeout', () => {
    const soon = nextPause({ ...outlook, heldMs: 29_000, expiresInMs: 950 }, { ...pace, leftMs: 100 });
    expect(soon.isLast).toBe(true);
    expect(soon.pauseMs).toBeGreaterThan(950);
    expect(soon.pauseMs).toBeLessThan(1_000);
    expect(nextPause({ ...outlook, heldMs: 29_000, expiresInMs: 1_200 }, { ...pace, leftMs: 100 })).toEqual({
      pauseMs: 100,
      isLast: true,
    });
  });
});

/** Polls a second of n waiters, and the most in any 20 ms, by arithmetic: no process and no clock is used. */
function simulate(n: number, seconds: number, changes: Partial<LastPoll> & { timeoutMs?: number } = {}) {
  const random = randomFrom(n);
  const times: number[] = [];
  const { timeoutMs = 1e9, expiresInMs: endMs = null } = changes;
  for (let waiter = 0; waiter < n; waiter++) {
    let nowMs = 0;
    for (let isLast = false; !isLast && nowMs < seconds * 1_000;) {
      const expiresInMs = endMs === null ? null : endMs - nowMs;
      const pause = nextPause(
        { heldMs: 20_000 + nowMs, expiresInMs, queueLength: n },
        { pollIntervalMs: 1_000, leftMs: timeoutMs - nowMs, random },
      );
      nowMs += pause.pauseMs;
      isLast = pause.isLast;
      times.push(nowMs);
    }
  }
  const buckets = new Map<number, number>();
  for (const time of times) buckets.set(Math.floor(time / 20), (buckets.get(Math.floor(time / 20)) ?? 0) + 1);
  return { perSecond: times.length / seconds, mostIn20Ms: Math.max(...buckets.values()), times };
}

describe('many waiters', () => {
  test.each([50, 100, 1_000, 10_000])('%i make about 50 polls a second in total', (n) => {
    const seconds = Math.max(60, n / 10);
    expect(simulate(n, seconds).perSecond).toBeLessThan(60);
  });

  test.each([100, 1_000])('%i spread their polls after a known expiry', (n) => {
    expect(simulate(n, 20, { expiresInMs: 10_000 }).mostIn20Ms).toBeLessThan(25);
  });

  test.each([100, 1_000])('%i spread their last attempts before a common timeout', (n) => {
    expect(simulate(n, 60, { timeoutMs: 30_000 }).mostIn20Ms).toBeLessThan(25);
  });

  test('100 that started together with a crashed holder do not all give up before its lease ends', () => {
    const { times } = simulate(100, 60, { timeoutMs: 30_000, expiresInMs: 30_010 });
    expect(times.filter((time) => time > 30_010).length).toBeGreaterThan(50);
  });
});
