import { expect, test } from '@jest/globals';
import { newIdentity } from '../../../src/lock/lease.js';

test('an option accepts every instance id as a separate word', () => {
  const ids = Array.from({ length: 2_000 }, () => newIdentity().instanceId);
  expect(ids.filter((id) => !/^[0-9A-Za-z][\w-]{20}$/.test(id))).toEqual([]);
  expect(new Set(ids).size).toBe(ids.length);
});
