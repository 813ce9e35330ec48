import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  durationOption,
  formatDuration,
  MAX_DURATION_MS,
  parseDuration,
} from '../../../src/text/duration.js';

describe('parseDuration', () => {
  test.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5s', 1_500],
    ['0.25s', 250],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
    ['24d', MAX_DURATION_MS],
    ['0', 0],
    ['0s', 0],
    ['0.1ms', 1],
    [' 30s ', 30_000],
    ['30 s', 30_000],
  ])('%j is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test('accepts the longest timer of Node as the longest duration', () => {
    expect(MAX_DURATION_MS).toBeLessThan(2 ** 31);
  });

  test.each([
    '',
    ' ',
    '30',
    '00',
    '-1s',
    '+1s',
    '1e3s',
    '.5s',
    '1.s',
    '1m30s',
    '1 m 30 s',
    '30 seconds',
    '30S',
    's',
    'Infinity',
    'NaN',
    '0x10s',
    '25d',
    '99999999999999999999h',
    `${'9'.repeat(400)}h`,
    '999999999999999d',
    '1s; rm',
  ])('%j is refused', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

describe('formatDuration', () => {
  test.each([
    [0, '0ms'],
    [-5, '0ms'],
    [0.4, '0ms'],
    [850, '850ms'],
    [999.6, '1s'],
    [1_000, '1s'],
    [2_500, '2.5s'],
    [2_549, '2.5s'],
    [9_949, '9.9s'],
    [9_950, '10s'],
    [12_000, '12s'],
    [59_499, '59s'],
    [59_500, '1m'],
    [60_000, '1m'],
    [90_000, '1m 30s'],
    [3_599_400, '59m 59s'],
    [3_599_600, '1h'],
    [7_500_000, '2h 5m'],
    [86_399_000, '1d'],
    [273_600_000, '3d 4h'],
  ])('%d ms is %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test('a whole duration in one unit is parsed to the same value', () => {
    const whole = fc.oneof(
      fc.integer({ min: 0, max: 999 }),
      fc.integer({ min: 10, max: 59 }).map((seconds) => seconds * 1_000),
      fc.integer({ min: 1, max: 59 }).map((minutes) => minutes * 60_000),
      fc.integer({ min: 1, max: 23 }).map((hours) => hours * 3_600_000),
    );
    fc.assert(fc.property(whole, (ms) => parseDuration(formatDuration(ms)) === ms));
  });
});

test.each([
  [90_000, '90s'],
  [120_000, '2m'],
  [7_200_000, '2h'],
  [1_500, '1500ms'],
  [0, '0ms'],
])('formats %d ms as the option value %j', (ms, text) => {
  expect(durationOption(ms)).toBe(text);
  expect(parseDuration(text)).toBe(ms);
});
