import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { isAlive, waitUntilGone } from '../../support/processes.js';
import { assertNothingLeft, CLI, startCli } from '../../support/run-cli.js';
import { EXECUTABLE } from '../../support/executable.js';
import { waitFor } from '../../support/wait-for.js';

/** A mount namespace in which nobody can execute /bin/sh. */
const WITHOUT_SHELL = [
  ...['unshare', '--mount', 'sh', '-c'],
  ...['mount --bind /dev/null "$(readlink -f /bin/sh)" && exec "$@"', 'sh'],
];
const isPossible = spawnSync('unshare', [...WITHOUT_SHELL.slice(1), '/bin/sh', '-c', 'true']).status === 126;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

async function releasedBy() {
  const rows = await db.sql<{ by: string; late: boolean }[]>`
    SELECT details ->> 'by' AS by, (details ->> 'late')::boolean AS late
      FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released' ORDER BY id`;
  return [...rows];
}

describe.each([
  { name: 'the package', isThere: true, program: process.execPath, words: [CLI] },
  { name: 'the executable', isThere: existsSync(EXECUTABLE), program: EXECUTABLE, words: [] },
])(
  '$name without /bin/sh (skipped where unshare is not permitted, or the executable was not built)',
  ({ isThere, program, words }) => {
    const ifPossible = isPossible && isThere ? test : test.skip;
    const start = (...args: string[]) =>
      startCli([...words, 'run', ...args], {
        env: { DATABASE_URL: db.url },
        executable: program,
        through: WITHOUT_SHELL,
      });

    ifPossible('a holder that is killed leaves no command, and its guard releases the lease', async () => {
      const holder = start('--ttl', '10m', '--', 'sleep', '1000');
      const { childPid } = await holder.waitForEvent('child.started');
      holder.kill('SIGKILL');
      await waitUntilGone(childPid);
      await waitFor('the release', async () => (await releasedBy()).length === 1, { limitMs: 10_000 });
      expect(await releasedBy()).toEqual([{ by: 'guard', late: false }]);
      expect(holder.events().map(({ event }) => event)).not.toContain('guard.absent');
    });

    ifPossible('a command whose holder is stopped ends before the lease does', async () => {
      const holder = start('--ttl', '4s', '--kill-grace', '100ms', '--', 'sleep', '1000');
      const { childPid } = await holder.waitForEvent('child.started');
      const { expiresAt } = await holder.waitForEvent('lock.acquired');
      holder.kill('SIGSTOP');
      await waitUntilGone(childPid);
      const [left] = await db.sql`SELECT clock_timestamp() < ${expiresAt}::timestamptz AS before`;
      expect(left?.before).toBe(true);
      holder.kill('SIGCONT');
      expect((await holder.done).code).toBe(124);
    });

    ifPossible('a holder that is killed together with its command: the lease is released', async () => {
      const holder = start('--ttl', '10m', '--', 'sleep', '1000');
      const { childPid } = await holder.waitForEvent('child.started');
      process.kill(childPid, 'SIGSTOP');
      holder.kill('SIGKILL');
      process.kill(childPid, 'SIGKILL');
      await waitFor('the release', async () => (await releasedBy()).length === 1, { limitMs: 10_000 });
      expect(isAlive(childPid)).toBe(false);
    });

    ifPossible('nothing is left of the guard after a run', async () => {
      const { code, events } = await start('--', 'true').done;
      expect(code).toBe(0);
      expect(events.map(({ event }) => event)).not.toContain('guard.absent');
    });
  },
);
