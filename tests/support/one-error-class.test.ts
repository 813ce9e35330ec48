import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';

function caught(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("errors of Node's own modules are instances of Error in the tests, and plain objects are not", () => {
  expect(caught(() => readFileSync('/no/such/file')) instanceof Error).toBe(true);
  expect(new RangeError() instanceof Error).toBe(true);
  expect(new RangeError() instanceof RangeError).toBe(true);
  expect(new Error() instanceof RangeError).toBe(false);
  expect(({ message: '' } as unknown) instanceof Error).toBe(false);
});
