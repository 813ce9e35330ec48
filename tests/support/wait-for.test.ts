import { expect, test } from '@jest/globals';
import { waitFor } from './wait-for.js';

test("returns the condition's first value that is not empty", async () => {
  let calls = 0;
  await expect(
    waitFor('the third call', () => (++calls === 3 ? 'third' : null), { intervalMs: 1 }),
  ).resolves.toBe('third');
  expect(calls).toBe(3);
});

test('rejects after its limit with the description and the last value', async () => {
  const bound = { limitMs: 20, intervalMs: 1 };
  await expect(waitFor('a true word', () => false, bound)).rejects.toThrow(
    'waited 20 ms in vain for: a true word (last seen: false)',
  );
  const failing = () => Promise.reject(new Error('refused'));
  await expect(waitFor('an answer', failing, bound)).rejects.toThrow('last error: Error: refused');
});
