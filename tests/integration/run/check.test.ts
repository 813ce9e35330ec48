import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli, type CliResult } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { useDatabase } from '../../support/use-database.js';

/** `--check COMMAND`: where nothing is pending, no lock is needed. */

let db: TestDatabase;
useDatabase((made) => (db = made));

const COMMAND = ['--', 'sh', '-c', 'eval "$WORK"'];
const CHECK = ['--check', 'eval "$CHECK"'];
const options = (check: string, work: string) => ({
  env: { DATABASE_URL: db.url, CHECK: check, WORK: work },
});
const run = (check: string, work = 'echo "the work"', ...args: string[]) =>
  runCli(['run', ...CHECK, ...args, ...COMMAND], options(check, work));

const names = ({ events }: Pick<CliResult, 'events'>) => events.map(({ event }) => event);
const skipped = { reason: 'check', succeeded: true, exitCode: 0, by: null };
const hasSchema = async () =>
  (await db.sql`SELECT FROM pg_namespace WHERE nspname = 'migrate_lock'`).length > 0;
/** What a check does before the lock, and under the lease. */
const before = (first: string, then: string) =>
  `if [ -z "$MIGRATE_LOCK_INSTANCE_ID" ]; then ${first}; else ${then}; fi`;

describe('before the lock', () => {
  test('0: nothing is locked or created, and the run is skipped', async () => {
    const result = await run('exit 0');
    expect(result).toMatchObject({ code: 0 });
    expect(names(result)).toEqual(['check.started', 'check.exited', 'run.skipped', 'run.finished']);
    expect(result.events).toContainEqual(expect.objectContaining({ event: 'run.skipped', ...skipped }));
    expect(result.events.at(-1)).toMatchObject({ outcome: 'skipped', exitCode: 0 });
    expect(await hasSchema()).toBe(false);
  });

  test('0, where the lock was used and is free: no lease is acquired', async () => {
    await run('exit 1');
    const result = await run('exit 0');
    expect(names(result)).not.toContain('lock.acquired');
    expect(names(result)).toContain('run.skipped');
  });

  test.each([1, 2, 42, 255])('%d: the command is run', async (code) => {
    const result = await run(`exit ${code}`);
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toContain('the work');
  });

  test.each([126, 127])(
    '%d ends the run: a mistyped check does not mean that something is pending',
    async (code) => {
      const result = await run(`exit ${code}`);
      expect(result).toMatchObject({ code });
      expect(result.stderr).not.toContain('the work');
      expect(await hasSchema()).toBe(false);
    },
  );

  test('0, while another run holds the lock: it waits, and checks again under the lease', async () => {
    const holder = startCli(['run', '--', 'sh', '-c', 'exec sleep 60'], {
      env: { DATABASE_URL: db.url },
    });
    await holder.waitForEvent('child.started');
    const running = startCli(['run', ...CHECK, ...COMMAND], options('exit 0', 'echo never'));
    await running.waitForEvent('lock.waiting');
    holder.kill('SIGTERM');
    await holder.done;
    const result = await running.done;
    expect(result).toMatchObject({ code: 0 });
    expect(names(result).filter((name) => /check|acquired|released|skipped/.test(name))).toEqual([
      ...['check.started', 'check.exited', 'lock.acquired', 'check.started', 'check.exited'],
      ...['lock.released', 'run.skipped'],
    ]);
  });

  test('0, after an unclean end of this command: it takes the lock', async () => {
    await run('exit 1', 'kill -KILL $$');
    const result = await run('exit 0', 'echo never');
    expect(result).toMatchObject({ code: 0 });
    expect(names(result)).toContain('lock.acquired');
    expect(names(result)).toContain('run.skipped');
  });

  test('0, after a lease that expired without a release: it takes the lock', async () => {
    await run('exit 1');
    await db.sql`
      UPDATE migrate_lock.migration_lock
         SET released_at = NULL, locked_at = now() - interval '2 s', expires_at = now() - interval '1 s'`;
    const result = await run('exit 0', 'echo never');
    expect(names(result)).toContain('lock.takeover');
    expect(names(result)).toContain('run.skipped');
  });

  test('0, where the lock schema cannot be read: it takes the lock', async () => {
    await run('exit 1');
    await db.sql`DROP FUNCTION migrate_lock.read_run_key`;
    const result = await run('exit 0', 'echo never');
    expect(names(result)).toContain('lock.acquired');
  });

  test('it is ended at the wait timeout, with the exit code of a wait', async () => {
    const started = performance.now();
    const result = await run('exec sleep 60', 'echo never', '--wait-timeout', '1s');
    expect(result).toMatchObject({ code: 75 });
    expect(performance.now() - started).toBeLessThan(15_000);
    const other = await run(
      'exec sleep 60',
      'echo never',
      '--wait-timeout',
      '1s',
      '--conflict-exit-code',
      '3',
    );
    expect(other).toMatchObject({ code: 3 });
    expect(await hasSchema()).toBe(false);
  });

  test('a signal ends it and the run', async () => {
    const running = startCli(['run', ...CHECK, ...COMMAND], options('exec sleep 60', 'echo never'));
    await running.waitForEvent('check.started');
    running.kill('SIGTERM');
    const result = await running.done;
    expect(result).toMatchObject({ code: 143 });
    expect(names(result)).not.toContain('child.started');
  });

  test('it is ended when its run is killed', async () => {
    const running = startCli(['run', ...CHECK, ...COMMAND], options('exec sleep 60', 'echo never'));
    await running.waitForEvent('check.started');
    running.kill('SIGKILL');
    await running.done;
    await assertNothingLeft();
  });

  test('it gets neither stdin nor stdout of the command', async () => {
    const result = await runCli(['run', ...CHECK, '--child-stdout', 'stdout', ...COMMAND], {
      ...options('cat; echo "from the check"; exit 1', 'cat >&2'),
      input: 'for the command\n',
    });
    expect(result).toMatchObject({ code: 0 });
    expect(result.stdout).not.toContain('from the check');
    expect(result.stderr).toContain('from the check');
    expect(result.stderr.match(/for the command/g)).toHaveLength(1);
  });

  test('it needs a shell', async () => {
    const result = await runCli(['run', ...CHECK, '--', process.execPath, '-e', '0'], {
      env: { DATABASE_URL: db.url, PATH: '/nonexistent' },
    });
    expect(result).toMatchObject({ code: 127 });
    expect(result.stderr).toContain('there is no sh in PATH, which runs the line of --check');
    expect(await hasSchema()).toBe(false);
  });
});

describe('under the lease', () => {
  test('0: another run has done the work while this one waited', async () => {
    const result = await run(before('exit 1', 'exit 0'));
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).not.toContain('the work');
    expect(names(result)).toContain('run.skipped');
  });

  test('127 ends the run, and the lease is released', async () => {
    const result = await run(before('exit 1', 'exit 127'), 'echo never');
    expect(result).toMatchObject({ code: 127 });
    expect(names(result)).toContain('lock.released');
  });

  test('0 after a signal is no answer: the run is interrupted', async () => {
    const check = before('exit 1', 'trap "exit 0" TERM; echo ready >&2; while :; do sleep 0.1; done');
    const running = startCli(['run', ...CHECK, ...COMMAND], options(check, 'echo never'));
    await waitFor('the check to be ready', () => running.stderr().includes('ready'));
    running.kill('SIGTERM');
    const result = await running.done;
    expect(result).toMatchObject({ code: 143 });
    expect(names(result)).not.toContain('run.skipped');
    expect(names(result)).toContain('lock.released');
  });

  test('it has the deadline of the lease', async () => {
    const result = await run(
      before('exit 1', 'exec sleep 60'),
      'echo never',
      '--ttl',
      '3s',
      '--kill-grace',
      '1s',
    );
    expect(result).toMatchObject({ code: 124 });
    expect(names(result)).toContain('lock.released');
  });

  test('it comes after the recovery', async () => {
    await run('exit 1', 'kill -KILL $$');
    const result = await run('exit 1', 'true', '--recover', 'exit 0');
    expect(names(result).filter((name) => name.endsWith('started'))).toEqual([
      ...['check.started', 'recover.started', 'check.started', 'child.started'],
    ]);
  });

  test('inside another run on the same lock, it is run there too', async () => {
    const script = '"$NODE" "$PROGRAM" run --check "test 1" -- sh -c "echo never"';
    const result = await runCli(['run', '--', 'sh', '-c', script], {
      env: { ...options('', '').env, NODE, PROGRAM: CLI },
    });
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).not.toContain('never\n');
    expect(result.stderr).toContain('the check found nothing pending');
  });
});

describe('with --once', () => {
  test('0 takes the lease and stores the key as succeeded', async () => {
    const result = await run('exit 0', 'echo never', '--once', 'release-1');
    expect(result).toMatchObject({ code: 0 });
    expect(names(result)).toContain('lock.released');
    expect(names(result)).not.toContain('child.started');
    expect(
      await db.sql`SELECT run_key, succeeded, exit_code FROM migrate_lock.migration_lock_run`,
    ).toMatchObject([{ run_key: 'release-1', succeeded: true, exit_code: 0 }]);
    const next = await run('exit 1', 'echo never', '--once', 'release-1');
    expect(next.events).toContainEqual(expect.objectContaining({ event: 'run.skipped', reason: 'once' }));
  });
});
