import { describe, expect, test } from '@jest/globals';
import { nextRead } from '../../../src/watch/pace.js';

const FAR_MS = 1e9;
const pauses = (crowd: { watchers: number | null; readsAlone?: number; readMs?: number }, times = 1_000) =>
  Array.from({ length: times }, () => nextRead({ readMs: 10, readsAlone: 0, ...crowd }, FAR_MS).pauseMs);
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('the pause between two reads', () => {
  test.each([50, 200, 1_000])(
    'is long enough that %i watchers look less than 100 times a second',
    (watchers) => {
      expect((watchers * 1_000) / mean(pauses({ watchers }))).toBeLessThan(95);
    },
  );

  test('keeps 1000 watchers below 20 connections, also where a read takes 500 ms', () => {
    expect((1_000 * 500) / mean(pauses({ watchers: 1_000, readMs: 500 }))).toBeLessThan(20);
  });

  test('is about a second for a few watchers', () => {
    for (const pauseMs of pauses({ watchers: 1 })) {
      expect(pauseMs).toBeGreaterThanOrEqual(500);
      expect(pauseMs).toBeLessThanOrEqual(1_500);
    }
  });

  test('grows from 2 s to 10 s where the number of watchers is not known', () => {
    const grown = [1, 2, 4, 6, 1e6].map((readsAlone) => mean(pauses({ watchers: null, readsAlone })));
    expect(grown).toEqual([...grown].sort((a, b) => a - b));
    expect(grown[0]).toBeGreaterThan(1_800);
    expect(grown[0]).toBeLessThan(2_200);
    expect(grown.at(-1)).toBeGreaterThan(9_000);
    expect(grown.at(-1)).toBeLessThan(11_000);
  });
});

describe('the last read', () => {
  test('is made at the wait timeout by a few watchers', () => {
    const crowd = { watchers: 5, readMs: 10, readsAlone: 0 };
    expect(nextRead(crowd, 400, () => 0.5)).toEqual({ pauseMs: 400, isLast: true });
    expect(nextRead(crowd, 0, () => 0.5)).toEqual({ pauseMs: 0, isLast: true });
  });

  test('is spread over half of the remaining time by many', () => {
    const last = Array.from({ length: 1_000 }, () =>
      nextRead({ watchers: 1_000, readMs: 10, readsAlone: 0 }, 6_000),
    );
    expect(last.every(({ isLast }) => isLast)).toBe(true);
    const times = last.map(({ pauseMs }) => pauseMs);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(3_000);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(2_500);
  });
});
