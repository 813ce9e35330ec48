import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { commandIdentity } from '../../../src/redact/command-identity.js';
import type { TestDatabase } from '../../support/database.js';
import { runCli, startCli, type CliResult, NODE } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

const env = () => ({ DATABASE_URL: db.url });
const once = (args: string[], added: Record<string, string> = {}) =>
  runCli(['run', '--once', 'release 1', ...args], { env: { ...env(), ...added } });
/** The same command, for any exit code. */
const EXIT = ['--', 'sh', '-c', 'exit "${EXIT:-0}"'];
const ran = ({ events }: CliResult) => events.some(({ event }) => event === 'child.started');
const skipped = ({ events }: CliResult) => events.find(({ event }) => event === 'run.skipped');

async function stored() {
  return db.sql`SELECT run_key, succeeded, exit_code, command FROM migrate_lock.migration_lock_run`;
}

describe('work that succeeded', () => {
  test('is not repeated: later runs exit with 0, and say which run did it', async () => {
    const first = await once(['--', 'true']);
    expect(first).toMatchObject({ code: 0 });
    expect(ran(first)).toBe(true);
    const [{ now } = { now: '' }] = await db.sql<{ now: string }[]>`SELECT now()::text AS now`;

    const second = await once(['--', 'true']);
    expect(second).toMatchObject({ code: 0 });
    expect(ran(second)).toBe(false);
    expect(skipped(second)).toMatchObject({
      runKey: 'release 1',
      succeeded: true,
      exitCode: 0,
      by: first.events[0]?.instanceId,
      byCommand: 'true',
    });
    expect(second.events.at(-1)).toMatchObject({ event: 'run.finished', outcome: 'skipped', exitCode: 0 });
    expect(second.stderr).toContain('nothing to run');
    // The lock was not acquired for it.
    expect(
      await db.sql`SELECT FROM migrate_lock.migration_lock_audit WHERE at > ${now}::timestamptz`,
    ).toHaveLength(0);
  });

  test('is repeated under another key, and without a key', async () => {
    await once(['--', 'true']);
    const other = await runCli(['run', '--once', 'release 2', '--', 'true'], { env: env() });
    expect(ran(other)).toBe(true);
    expect(ran(await runCli(['run', '--', 'true'], { env: env() }))).toBe(true);
  });

  test('of another command counts as different work: it runs, with a warning', async () => {
    await once(['--', 'true']);
    const other = await once(['--', 'echo', 'other']);
    expect(ran(other)).toBe(true);
    expect(other.stderr).toContain('another command');
    expect(skipped(await once(['--', 'echo', 'other']))).toMatchObject({ byCommand: 'echo other' });
    expect(skipped(await once(['--', 'true']))).toMatchObject({ byCommand: 'true' });
    expect(await stored()).toHaveLength(2);
  });

  test('is done by one of many runs, and the others start no command', async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, () => once(['--wait-timeout', '2m', '--', 'sleep', '1'])),
    );
    expect(results.map(({ code }) => code)).toEqual(Array.from({ length: 20 }, () => 0));
    expect(results.filter(ran)).toHaveLength(1);
    expect(results.filter((result) => skipped(result) !== undefined)).toHaveLength(19);
    expect(await db.sql`SELECT FROM migrate_lock.migration_lock_waiter`).toHaveLength(0);
  });

  test('is noticed by a waiter whose next poll is far away', async () => {
    const holder = startCli(['run', '--once', 'release 1', '--', 'sh', '-c', 'read line'], {
      env: env(),
      input: '\n',
    });
    await holder.waitForEvent('child.started');
    await holder.done;
    await db.sql`DELETE FROM migrate_lock.migration_lock_run`;

    // Another instance has held the lock for so long that polls are rare.
    const blocker = startCli(['run', '--ttl', '1h', '--', 'sleep', '600'], { env: env() });
    await blocker.waitForEvent('child.started');
    await db.sql`UPDATE migrate_lock.migration_lock SET locked_at = locked_at - interval '10 hours'`;
    const waiter = startCli(
      [
        'run',
        '--no-listen',
        '--once',
        'release 1',
        '--poll-interval',
        '10m',
        '--wait-timeout',
        '1h',
        '--',
        'true',
      ],
      { env: env() },
    );
    await waiter.waitForEvent('lock.waiting');
    // A poll fails now: only the read of the run key, which comes before the next poll, can find it done.
    await db.sql`ALTER FUNCTION migrate_lock.poll RENAME TO poll_of_before`;
    await db.sql`INSERT INTO migrate_lock.migration_lock_run VALUES
                 ('release 1', ${commandIdentity(['true'])}, true, 0, now(), 5, 'somebody', 1, 'elsewhere', 'app', 'true')`;
    expect(await waiter.done).toMatchObject({ code: 0 });
    expect(waiter.events().some(({ event }) => event === 'lock.acquired')).toBe(false);
    blocker.kill('SIGTERM');
    await blocker.done;
  });
});

describe('work that did not succeed', () => {
  test('is repeated by the next run', async () => {
    expect(await once(EXIT, { EXIT: '3' })).toMatchObject({ code: 3 });
    expect(await stored()).toMatchObject([{ succeeded: false, exit_code: 3 }]);
    expect(ran(await once(EXIT))).toBe(true);
    expect(await stored()).toMatchObject([{ succeeded: true, exit_code: 0 }]);
  });

  test('fails other runs with the same exit code when they ask for that, while it is remembered', async () => {
    await once(EXIT, { EXIT: '3' });
    const other = await once(['--on-failure', 'fail', ...EXIT]);
    expect(other).toMatchObject({ code: 3 });
    expect(ran(other)).toBe(false);
    expect(skipped(other)).toMatchObject({ succeeded: false, exitCode: 3 });
    expect(other.events.at(-1)).toMatchObject({ outcome: 'skipped', exitCode: 3 });

    await db.sql`UPDATE migrate_lock.migration_lock_run SET finished_at = finished_at - interval '61 s'`;
    expect(ran(await once(['--on-failure', 'fail', ...EXIT]))).toBe(true);
  });

  test.each([
    ['ended with 0 after a signal', 'trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done', 'SIGTERM'],
    ['left processes behind', '(trap "" HUP; sleep 600) & echo ready', undefined],
  ] as const)('when its command %s', async (_, script, signal) => {
    const run = startCli(['run', '--once', 'release 1', '--kill-grace', '100ms', '--', 'sh', '-c', script], {
      env: env(),
    });
    await run.waitForEvent('child.started');
    await waitFor('the command to be ready', () => run.stderr().includes('ready'));
    if (signal !== undefined) run.kill(signal);
    // Exit 0 would mean that the success is stored, and others wait for it.
    const { code, events } = await run.done;
    expect(code).toBe(73);
    expect(events.some(({ event }) => event === 'run.not_stored')).toBe(true);
    expect(events.at(-1)).toMatchObject({ event: 'run.finished', exitCode: 73 });
    expect(await stored()).toHaveLength(0);
    expect(ran(await once(['--', 'true']))).toBe(true);
  });

  test('when a database session that was still busy had to be ended', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'once-'));
    const script = 'while ! [ -e "$DONE" ]; do sleep 0.1; done';
    const run = startCli(['run', '--once', 'release 1', '--', 'sh', '-c', script], {
      env: { ...env(), DONE: join(folder, 'done') },
    });
    await run.waitForEvent('child.started');
    const session = postgres(db.url, {
      max: 1,
      onnotice: () => undefined,
      connection: { application_name: `migrate-lock:${run.events()[0]?.instanceId ?? ''}` },
    });
    const busy = session`SELECT pg_sleep(60)`.catch((error: unknown) => error);
    await waitFor('the session to be busy', async () => {
      const found =
        await db.sql`SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'`;
      return found.length > 0;
    });
    writeFileSync(join(folder, 'done'), '');
    const { code, events } = await run.done;
    rmSync(folder, { recursive: true });
    expect(await busy).toBeInstanceOf(Error);
    await session.end({ timeout: 0 });
    expect(code).toBe(73);
    expect(events.some(({ event }) => event === 'run.not_stored')).toBe(true);
    expect(await stored()).toHaveLength(0);
  });

  test('when its deadline passed, even if it then ended with 0', async () => {
    const script = 'trap "exit 0" TERM; while :; do sleep 0.1; done';
    const run = await once(['--ttl', '3s', '--kill-grace', '1s', '--', 'sh', '-c', script]);
    expect(run).toMatchObject({ code: 124 });
    expect(await stored()).toMatchObject([{ succeeded: false, exit_code: 124 }]);
  });

  test('when it was never released: after a crash it runs again', async () => {
    const run = startCli(['run', '--once', 'release 1', '--', 'sh', '-c', 'echo ready; sleep 600'], {
      env: env(),
    });
    await waitFor('the command to be ready', () => run.stderr().includes('ready'));
    run.kill('SIGKILL');
    await run.done;
    const next = await once(['--wait-timeout', '1m', '--', 'true']);
    expect(ran(next)).toBe(true);
  });
});

test('a nested run also finds its work done', async () => {
  await once(['--', 'true']);
  const inner = `"${NODE}" "$CLI" run --once "release 1" -- true`;
  const { CLI } = await import('../../support/run-cli.js');
  const outer = await runCli(['run', '--', 'sh', '-c', inner], { env: { ...env(), CLI } });
  expect(outer).toMatchObject({ code: 0 });
  expect(outer.stderr).toContain('"event":"run.skipped"');
});

test('a nested run whose work is not done is refused: it could not store its success', async () => {
  const { CLI } = await import('../../support/run-cli.js');
  const inner = (words: string) =>
    runCli(['run', '--', 'sh', '-c', `"${NODE}" "$CLI" run ${words} -- echo ran`], {
      env: { ...env(), CLI },
    });
  const refused = await inner('--once "release 1"');
  expect(refused).toMatchObject({ code: 64, stderr: expect.stringContaining('could not store its success') });
  expect(refused.stderr).not.toMatch(/^ran$/m);
  expect(await inner('')).toMatchObject({ code: 0, stderr: expect.stringMatching(/^ran$/m) });
});

test('without --once, a command that left processes behind exits with 0', async () => {
  const script = ['sh', '-c', '(trap "" HUP; sleep 600) & echo ready'];
  const run = await runCli(['run', '--kill-grace', '100ms', '--', ...script], { env: env() });
  expect(run).toMatchObject({ code: 0 });
});

test.each([
  ['--once', ''],
  ['--once', 'k'.repeat(1_001)],
  ['--on-failure', 'perhaps'],
  ['--failure-memory', '0'],
])('%s %j is a usage error', async (option, value) => {
  expect(await runCli(['run', option, value, '--', 'true'], { env: env() })).toMatchObject({ code: 64 });
});
