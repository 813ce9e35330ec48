import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { CLI, startCli } from '../../support/run-cli.js';
import { useDatabase } from '../../support/use-database.js';

const HOST_NAME = fileURLToPath(new URL('../../support/fixtures/host-name.cjs', import.meta.url));
const HOSTILE = [
  ['quotes and comments of SQL', `x'); DROP SCHEMA migrate_lock CASCADE; -- $$ "`],
  ['quotes of JSON and a backslash', '","event":"lock.released","x":"\\'],
  ['a line of its own', 'web\n{"event":"lock.released"}\n'],
  ['orders to a terminal', '\u001b]0;owned\u0007\u001b[2J\r'],
  ['more than a byte a letter', 'höst-\u{1F600}-\u202e'],
] as const;

let db: TestDatabase;
useDatabase((made) => (db = made));

test.each(HOSTILE)('a host name with %s is stored and printed as data', async (_, name) => {
  const start = (...args: string[]) =>
    startCli(['run', ...args], {
      program: ['--require', HOST_NAME, CLI],
      env: { DATABASE_URL: db.url, TEST_HOST_NAME: name },
    });
  const holder = start('--', 'sleep', '1000');
  await holder.waitForEvent('child.started');
  const waiter = start('--', 'true');
  const waiting = await waiter.waitForEvent('lock.waiting');
  const [lease] = await db.sql`SELECT host FROM migrate_lock.migration_lock`;
  const waiters = await db.sql`SELECT host FROM migrate_lock.migration_lock_waiter`;
  expect([lease, ...waiters]).toEqual([{ host: name }, { host: name }]);
  expect(waiting).toMatchObject({ host: name, holderHost: name });

  holder.kill('SIGTERM');
  const results = [await holder.done, await waiter.done];
  // runCli() checks every line of stdout against the published schema.
  for (const { events } of results) expect(new Set(events.map(({ host }) => host))).toEqual(new Set([name]));
  expect(results.map(({ code }) => code)).toEqual([143, 0]);
  // People read it too.
  // eslint-disable-next-line no-control-regex -- they are what this is about
  for (const { stderr } of results) expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  const history = await db.sql`
    SELECT details ->> 'host' AS host FROM migrate_lock.migration_lock_audit WHERE event = 'lock.acquired'`;
  expect([...history]).toEqual([{ host: name }, { host: name }]);
});
