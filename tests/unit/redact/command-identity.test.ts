import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { describeThisProcess } from '../../../src/lock/lease.js';
import { commandIdentity } from '../../../src/redact/command-identity.js';

describe('the identity of a command', () => {
  test('is the SHA-256 of its words as JSON', () => {
    const expected = createHash('sha256').update('["knex","migrate:latest"]').digest('hex');
    expect(commandIdentity(['knex', 'migrate:latest'])).toBe(expected);
    expect(describeThisProcess('knex migrate:latest', 'k', expected)).toMatchObject({
      commandSha256: expected,
    });
  });

  test.each([
    [['a b'], ['a', 'b']],
    [
      ['a', 'b'],
      ['a', 'b', ''],
    ],
    [['knex'], ['knex\u001b[0m']],
    [['a\\u001b'], ['a\u001b']],
    [['a', '***'], ['a']],
    // Both are shown as the same text, because it is cut after 1,000 characters.
    [
      ['sh', '-c', 'x'.repeat(5_000)],
      ['sh', '-c', `${'x'.repeat(5_000)}y`],
    ],
  ])('differs: %#', (one, other) => {
    expect(commandIdentity(one)).not.toBe(commandIdentity(other));
  });

  test.each([
    [
      ['psql', 'postgres://app:one@db/shop'],
      ['psql', 'postgres://app:other@db/shop'],
    ],
    [
      ['migrate', '--password', 'one'],
      ['migrate', '--password', 'other'],
    ],
  ])('does not depend on a password: %#', (one, other) => {
    expect(commandIdentity(one)).toBe(commandIdentity(other));
  });

  test('does not depend on what is known to be secret', () => {
    const at = (secret: string) => commandIdentity(['migrate', `x${secret}y`], [secret]);
    expect(at('hunter2')).toBe(at('swordfish'));
    expect(at('hunter2')).not.toBe(commandIdentity(['migrate', 'xhunter2y']));
  });
});
