import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { childrenOf, endProcess } from '../../support/processes.js';
import { runCli, startCli, type CliResult } from '../../support/run-cli.js';
import { useDatabase } from '../../support/use-database.js';

/** How the last lease of a command ended is stored, and the next run of the same command reports it. */

let db: TestDatabase;
useDatabase((made) => (db = made));

/** The same command each time; what it does is in the environment. */
const COMMAND = ['--', 'sh', '-c', 'eval "$WORK"'];
const options = (work: string) => ({ env: { DATABASE_URL: db.url, WORK: work } });
const run = (work: string, ...args: string[]) => runCli(['run', ...args, ...COMMAND], options(work));
const start = (work: string, ...args: string[]) => startCli(['run', ...args, ...COMMAND], options(work));

const instanceOf = ({ events }: Pick<CliResult, 'events'>) => events[0]?.instanceId ?? '';
const previousEnd = ({ events }: CliResult) =>
  events.flatMap((event) => (event.event === 'lock.acquired' ? [event.previousEnd] : []))[0];
const stored = () =>
  db.sql<{ kind: string; instanceId: string; command: string }[]>`
    SELECT kind, instance_id AS "instanceId", command FROM migrate_lock.migration_lock_unclean_end ORDER BY ended_at`;

describe('an unclean end is stored', () => {
  test('signalled: the command died of a signal, or exited with 128 or more', async () => {
    for (const work of ['kill -KILL $$', 'exit 137']) {
      const ended = await run(work);
      expect([...(await stored())]).toEqual([
        { kind: 'signalled', instanceId: instanceOf(ended), command: `sh -c 'eval "$WORK"'` },
      ]);
    }
  });

  test('signalled: a signal was forwarded, whatever the command exits with', async () => {
    const running = start('trap "exit 0" TERM; echo ready >&2; while :; do sleep 0.1; done');
    await running.waitForEvent('child.started');
    running.kill('SIGTERM');
    expect(await running.done).toMatchObject({ code: expect.any(Number) });
    expect(await stored()).toMatchObject([{ kind: 'signalled' }]);
  });

  test('deadline: the command was ended before the lease expired', async () => {
    expect(await run('exec sleep 60', '--ttl', '3s', '--kill-grace', '1s')).toMatchObject({ code: 124 });
    expect(await stored()).toMatchObject([{ kind: 'deadline' }]);
  });

  test('leftovers: a process of the command had to be ended', async () => {
    expect(await run('sleep 60 & exit 0')).toMatchObject({ code: 0 });
    expect(await stored()).toMatchObject([{ kind: 'leftovers' }]);
  });

  test('killed: the guard released the lease after the holder was killed', async () => {
    const running = start('exec sleep 60');
    await running.waitForEvent('child.started');
    running.kill('SIGKILL');
    const next = await run('true');
    expect(next).toMatchObject({ code: 0 });
    expect(previousEnd(next)).toMatchObject({ kind: 'killed', command: `sh -c 'eval "$WORK"'` });
  });

  test('expired: holder, guard and command were killed at once, and the next run takes over', async () => {
    const running = start('exec sleep 60', '--ttl', '2s', '--kill-grace', '100ms');
    await running.waitForEvent('child.started');
    const instanceId = instanceOf({ events: running.events() });
    running.kill('SIGSTOP'); // so that it starts no other guard
    for (const pid of childrenOf(running.pid)) await endProcess(pid);
    await endProcess(running.pid);
    const next = await run('true');
    expect(next).toMatchObject({ code: 0 });
    expect(previousEnd(next)).toMatchObject({ kind: 'expired', instanceId });
  });

  test('expired: `cleanup` clears a lease that ran out', async () => {
    await run('true');
    await db.sql`
      UPDATE migrate_lock.migration_lock
         SET released_at = NULL, locked_at = now() - interval '2 s', expires_at = now() - interval '1 s'`;
    expect(await runCli(['cleanup'], { ...options(''), auditOnly: false })).toMatchObject({ code: 0 });
    expect(await stored()).toMatchObject([{ kind: 'expired' }]);
  });

  test('unlocked: `unlock` ended the lease', async () => {
    const running = start('exec sleep 60');
    await running.waitForEvent('child.started');
    const instanceId = instanceOf({ events: running.events() });
    const unlock = ['unlock', '--force', `--instance=${instanceId}`];
    expect(await runCli(unlock, { ...options(''), auditOnly: false })).toMatchObject({ code: 0 });
    expect(await stored()).toMatchObject([{ kind: 'unlocked', instanceId }]);
    running.kill('SIGTERM');
    await running.done;
  });
});

describe('of several unclean ends', () => {
  test('the time is that from the first on: what it left behind is still there', async () => {
    await run('kill -KILL $$');
    const lockedAt = () => db.sql`SELECT locked_at, kind FROM migrate_lock.migration_lock_unclean_end`;
    const [first] = await lockedAt();
    expect(await run('sleep 60 & exit 0')).toMatchObject({ code: 0 });
    expect(await lockedAt()).toEqual([{ ...first, kind: 'leftovers' }]);
  });

  test('that of `unlock` is not replaced: its command may still run', async () => {
    await run('kill -KILL $$');
    await db.sql`UPDATE migrate_lock.migration_lock_unclean_end SET kind = 'unlocked', instance_id = 'the first'`;
    await run('exit 137', '--once', 'release 2');
    expect(await stored()).toMatchObject([{ kind: 'unlocked', instanceId: 'the first' }]);
    // A watcher of the key has to find it.
    const [{ key } = {}] = await db.sql`SELECT run_key AS key FROM migrate_lock.migration_lock_unclean_end`;
    expect(key).toBe('release 2');
    expect(await run('true')).toMatchObject({ code: 0 });
    expect(await stored()).toHaveLength(0);
  });
});

describe('no unclean end is stored', () => {
  test('when the command exits by itself with a code below 128', async () => {
    expect(await run('exit 3')).toMatchObject({ code: 3 });
    expect(await run('exit 127')).toMatchObject({ code: 127 });
    expect(await stored()).toHaveLength(0);
  });

  test('when no command was started', async () => {
    expect(await runCli(['run', '--', '/'], options(''))).toMatchObject({ code: 126 });
    const holder = start('exec sleep 60');
    await holder.waitForEvent('child.started');
    const waiter = start('true');
    await waiter.waitForEvent('lock.waiting');
    waiter.kill('SIGTERM');
    await waiter.done;
    expect(await stored()).toHaveLength(0);
    holder.kill('SIGTERM');
    await holder.done;
  });
});

describe('an unclean end is reported', () => {
  test('by the next run of the same command, and cleared when it succeeds', async () => {
    const ended = await run('kill -KILL $$');
    const failed = await run('exit 3');
    expect(previousEnd(failed)).toMatchObject({ kind: 'signalled', instanceId: instanceOf(ended) });
    expect(failed.stderr).toContain(
      'had an unclean end: it was ended by a signal, or exited with 128 or more.',
    );
    // A failure clears nothing.
    const succeeded = await run('true');
    expect(previousEnd(succeeded)).toMatchObject({ kind: 'signalled', instanceId: instanceOf(ended) });
    expect(previousEnd(await run('true'))).toBeNull();
    expect(await stored()).toHaveLength(0);
  });

  test('and not by another command, whose success clears only its own', async () => {
    await run('kill -KILL $$');
    const other = await runCli(['run', '--', 'true'], options(''));
    expect(other).toMatchObject({ code: 0 });
    expect(previousEnd(other)).toBeNull();
    expect(await stored()).toMatchObject([{ kind: 'signalled' }]);
  });

  test('by `status`, for people and as JSON', async () => {
    const ended = await run('kill -KILL $$');
    const json = await runCli(['status', '--json'], { ...options(''), auditOnly: false });
    expect(JSON.parse(json.stdout)).toMatchObject({
      uncleanEnds: [{ kind: 'signalled', instanceId: instanceOf(ended), command: `sh -c 'eval "$WORK"'` }],
    });
    const text = await runCli(['status'], { ...options(''), auditOnly: false });
    expect(text.stdout).toContain(`sh -c 'eval "$WORK"': it was ended by a signal`);
  });

  test('until `cleanup --keep` removes it', async () => {
    await run('kill -KILL $$');
    const cleanup = ['cleanup', '--keep', '0s'];
    expect(await runCli(cleanup, { ...options(''), auditOnly: false })).toMatchObject({ code: 0 });
    expect(await stored()).toHaveLength(0);
  });
});
