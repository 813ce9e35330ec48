import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { childrenOf, isAlive, waitUntilGone } from '../../support/processes.js';
import { CLI, startCli } from '../../support/run-cli.js';
import { EXECUTABLE } from '../../support/executable.js';
import { waitFor } from '../../support/wait-for.js';
import { useDatabase } from '../../support/use-database.js';

/** A mount namespace in which nobody can execute /bin/sh. */
const WITHOUT_SHELL = [
  ...['unshare', '--mount', 'sh', '-c'],
  ...['mount --bind /dev/null "$(readlink -f /bin/sh)" && exec "$@"', 'sh'],
];
const isPossible = spawnSync('unshare', [...WITHOUT_SHELL.slice(1), '/bin/sh', '-c', 'true']).status === 126;

let db: TestDatabase;
useDatabase((made) => (db = made));

const isGuard = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0guard');
/** Whether a process has a handler for the signal. */
const catches = (pid: number, signal: number) => {
  const [, caught = '0'] = /^SigCgt:\s*([\da-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return ((BigInt(`0x${caught}`) >> BigInt(signal - 1)) & 1n) === 1n;
};
/** How many processes listen on port 9229. */
const debuggers = () => readFileSync('/proc/net/tcp', 'utf8').split(':240D 00000000:0000 0A').length - 1;

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

    ifPossible('its guards are not ended by signals, and open no port for a debugger', async () => {
      const holder = start('--ttl', '10m', '--', 'sleep', '1000');
      const { childPid } = await holder.waitForEvent('child.started');
      // The second guard is a child of the first.
      const guards = await waitFor('two guards', () => {
        const first = childrenOf(holder.pid).find((pid) => pid !== childPid && isGuard(pid));
        const second = first === undefined ? undefined : childrenOf(first).find(isGuard);
        return first === undefined || second === undefined ? null : [first, second];
      });
      // Node.js itself catches SIGUSR1. The handler of SIGUSR2 is the last that a guard sets.
      for (const pid of guards) await waitFor('it handles signals', () => catches(pid, 12));
      const opened = debuggers();
      for (const pid of guards)
        for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.kill(pid, signal);
      await sleep(300);
      expect(debuggers()).toBe(opened);
      expect(guards.map(isAlive)).toEqual([true, true]);
      holder.kill('SIGKILL');
      await waitUntilGone(childPid);
    });

    ifPossible('a command whose holder is stopped ends before the lease does', async () => {
      // Its guard has half a second for it.
      const holder = start('--ttl', '15s', '--kill-grace', '100ms', '--', 'sleep', '1000');
      const { childPid } = await holder.waitForEvent('child.started');
      const { expiresAt } = await holder.waitForEvent('lock.acquired');
      holder.kill('SIGSTOP');
      await waitUntilGone(childPid, 20_000);
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
