/** Stored values have limits: a value over its limit is refused with a message, or cut with a mark. */
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { describeThisProcess } from '../../../src/lock/lease.js';
import { checkRunKey } from '../../../src/lock/run-key.js';
import type { TestDatabase } from '../../support/database.js';
import { CLI, runCli } from '../../support/run-cli.js';
import { useDatabase } from '../../support/use-database.js';

const HOST_NAME = fileURLToPath(new URL('../../support/fixtures/host-name.cjs', import.meta.url));
let db: TestDatabase;
useDatabase((made) => (db = made));

const run = (args: string[], env: Record<string, string> = {}) =>
  runCli(['run', ...args], {
    program: ['--require', HOST_NAME, CLI],
    env: { DATABASE_URL: db.url, TEST_HOST_NAME: 'web-1', ...env },
  });
/** Random text, which compression cannot shorten. */
const random = (length: number, from: number, to: number) =>
  Array.from({ length }, () => String.fromCodePoint(randomInt(from, to))).join('');

describe('a run key', () => {
  test.each([
    ['1,000 letters', random(1_000, 0x61, 0x7b)],
    ['1,000 letters of two bytes', random(1_000, 0xc0, 0x24f)],
    ['2,600 bytes', random(650, 0x1f600, 0x1f64f)],
  ])('of %s is stored and found again', async (_, key) => {
    expect((await run(['--', 'true'], { MIGRATE_LOCK_ONCE: key })).code).toBe(0);
    const again = await run(['--', 'true'], { MIGRATE_LOCK_ONCE: key });
    expect(again.code).toBe(0);
    expect(again.events.map(({ event }) => event)).toEqual(['run.skipped', 'run.finished']);
    expect([...(await db.sql`SELECT run_key AS key FROM migrate_lock.migration_lock_run`)]).toEqual([
      { key },
    ]);
  });

  test.each([
    ['1,001 letters', 'k'.repeat(1_001), '1000 characters'],
    ['1,001 letters of two units', '\u{1F600}'.repeat(1_001), '1000 characters'],
    ['more than 2,600 bytes', '\u{1F600}'.repeat(651), '2600 bytes'],
    ['100,000 letters', 'k'.repeat(100_000), '1000 characters'],
    ['no letter', '', 'empty'],
    ['credentials', 'postgres://u:hunter2@h/d', 'credentials'],
  ])('of %s is refused, with the limit', async (_, key, word) => {
    const { code, stdout, stderr } = await run(['--once', key, '--', 'true']);
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
    expect(stderr).toContain(word);
    expect(stderr).not.toContain('hunter2');
    expect(stderr.length).toBeLessThan(500);
  });

  test.each(['a\0b', '\ud800', 'x\udc00'])('that PostgreSQL cannot store is refused: %j', (key) => {
    expect(() => checkRunKey(key)).toThrow('cannot store');
    expect(() => describeThisProcess('true', key)).toThrow('cannot store');
  });
});

test('a long command is redacted before it is cut, and a notice says so', async () => {
  // The cut is inside a character of two UTF-16 units; PostgreSQL would refuse half of it.
  const faces = '\u{1F600}'.repeat(2_000);
  for (const first of ['x', 'xx']) {
    const { code, events } = await run(['--', 'sh', '-c', ':', first, faces, '--password', 'hunter2']);
    expect(code).toBe(0);
    const started = events.find(({ event }) => event === 'child.started');
    const told = started?.event === 'child.started' ? started.command : '';
    expect(told).toMatch(/^sh -c : xx? .*… \(cut\)$/);
    expect(told.length).toBeLessThanOrEqual(2_000);
    const [lease] = await db.sql`SELECT command FROM migrate_lock.migration_lock`;
    expect(lease).toEqual({ command: told });
  }
});

test('a long host name is cut', async () => {
  const name = random(250, 0x61, 0x7b) + '\u{1F600}'.repeat(10);
  expect((await run(['--', 'true'], { TEST_HOST_NAME: name })).code).toBe(0);
  const [lease] = await db.sql<{ host: string }[]>`SELECT host FROM migrate_lock.migration_lock`;
  expect(lease?.host).toMatch(/… \(cut\)$/);
  expect(lease?.host.length).toBeLessThanOrEqual(255);
  expect(name).toContain(lease?.host.replace('… (cut)', ''));
});
