import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { applicationName, newIdentity } from '../../../src/lock/lease.js';
import { SupervisorLab } from '../child/supervisor-process.js';
import type { TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { CLI, NODE, runCli, startCli } from '../../support/run-cli.js';
import { useDatabase } from '../../support/use-database.js';

const possible =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

let db: TestDatabase;
useDatabase((made) => (db = made));

const unlock = (args: string[] = [], url = db.url) =>
  runCli(['unlock', ...args], { env: { DATABASE_URL: url }, auditOnly: false });

async function hold(url = db.url, instanceId = newIdentity().instanceId): Promise<string> {
  const lock = await openLock(url);
  const { me, answer } = await tryToAcquire(lock, { me: { ...newIdentity(), instanceId } });
  lock.database.disconnect();
  if (answer.outcome !== 'acquired') throw new Error('not acquired');
  return me.instanceId;
}

async function expire(): Promise<void> {
  await db.sql`
    UPDATE migrate_lock.migration_lock
       SET locked_at = clock_timestamp() - interval '1 minute', expires_at = clock_timestamp() - interval '1 second'`;
}

async function isFree(): Promise<boolean> {
  return (await db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NULL`).length === 0;
}

describe('without a terminal', () => {
  test('shows the holder, refuses a live lease with exit code 75, and prints the command that ends it', async () => {
    const holder = await hold();
    const shown = await unlock();
    expect(shown.code).toBe(75);
    expect(shown.stdout).toContain(`instance id    ${holder}`);
    expect(shown.stderr).toContain(`migrate-lock unlock --force --instance ${holder}`);
    expect(await isFree()).toBe(false);
  });

  test('prints a command that works for an instance id that begins with -', async () => {
    await hold(db.url, '-abc');
    const { stderr } = await unlock();
    expect(stderr).toContain('migrate-lock unlock --force --instance=-abc');
    expect(await unlock(['--force', '--instance=-abc'])).toMatchObject({ code: 0 });
    expect(await isFree()).toBe(true);
  });

  test('accepts --force --instance, but not --yes alone', async () => {
    const holder = await hold();
    expect(await unlock(['--force', '--yes'])).toMatchObject({ code: 64, stdout: '' });
    const other = await unlock(['--force', '--instance', 'somebody-else']);
    expect(other.code).toBe(75);
    expect(other.stderr).toContain(`held by ${holder}, not by somebody-else`);
    expect(await isFree()).toBe(false);
    const done = await unlock(['--force', '--instance', holder]);
    expect(done.code).toBe(0);
    expect(done.stderr).toContain(`ended the lease of ${holder}`);
    expect(await isFree()).toBe(true);
  });

  test('clears an expired lease without --force, and does not change a free or unused lock', async () => {
    expect(await unlock()).toMatchObject({ code: 0 });
    expect(await db.sql`SELECT FROM pg_namespace WHERE nspname = 'migrate_lock'`).toHaveLength(0);
    await hold();
    await expire();
    expect(await unlock()).toMatchObject({ code: 0 });
    expect(await isFree()).toBe(true);
    expect(await unlock()).toMatchObject({ code: 0, stderr: '' });
  });

  test('a run whose lease was unlocked exits with 70', async () => {
    const run = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
    const { instanceId } = await run.waitForEvent('child.started');
    expect(await unlock(['--force', '--instance', instanceId])).toMatchObject({ code: 0 });
    run.kill('SIGTERM');
    const { code, events } = await run.done;
    expect(events.find(({ event }) => event === 'lock.lost')).toMatchObject({ holder: null });
    expect(code).toBe(70);
  });

  test('sessions that the role may not end keep the lease, unless --leave-sessions is given', async () => {
    const weak = await db.createRole();
    const other = await db.createRole();
    // The functions run with their owner's rights: here the owner may end no sessions of other roles.
    await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${weak.name}`);
    const holder = await hold(weak.url);
    const migration = postgres(other.url, {
      max: 1,
      onnotice: () => undefined,
      connection: { application_name: applicationName(holder) },
    });
    const [session] = await migration`SELECT pg_backend_pid() AS pid`;
    const pid = String(session?.pid);
    const args = ['--force', '--instance', holder];
    const kept = await unlock(args, weak.url);
    expect(kept.code).toBe(75);
    expect(kept.stderr).toContain(`SELECT pg_terminate_backend(${pid})`);
    expect(kept.stderr).toContain('--leave-sessions');
    expect(await isFree()).toBe(false);
    const left = await unlock([...args, '--leave-sessions'], weak.url);
    expect(left.code).toBe(0);
    expect(left.stderr).toContain(`have not ended: ${pid}`);
    expect(await isFree()).toBe(true);
    const [audited] =
      await db.sql`SELECT details FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released'`;
    expect(audited?.details).toMatchObject({ by: 'unlock', sessionsLeft: [Number(pid)] });
    await migration.end({ timeout: 1 });
  });

  test('exits with 77 without EXECUTE on unlock()', async () => {
    const holder = await hold();
    const role = await db.createRole();
    await db.sql.unsafe(`
      GRANT USAGE ON SCHEMA migrate_lock TO ${role.name};
      GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA migrate_lock TO ${role.name};
      REVOKE EXECUTE ON FUNCTION migrate_lock.unlock FROM ${role.name}`);
    const { code, stderr } = await unlock(['--force', '--instance', holder], role.url);
    expect(code).toBe(77);
    expect(stderr).toContain('stay with the owner alone');
    expect(stderr).not.toContain('EXECUTE');
    expect(await isFree()).toBe(false);
  });

  test.each([[['--leave-sessions', '--instance', 'x']], [['--force']], [['--frce']]])(
    '%j is a usage error',
    async (args) => {
      expect(await unlock(args)).toMatchObject({ code: 64, stdout: '' });
    },
  );
});

// script(1) of util-linux makes the terminal, and exits with the exit code of its program.
(possible ? describe : describe.skip)('in a terminal (skipped where script(1) is missing)', () => {
  test.each([
    ['y', 0, true],
    ['', 75, false],
    ['n', 75, false],
    ['\x04', 75, false], // the end of the input
  ])('asks before it unlocks: %j exits with %i', async (typed, exitCode, freed) => {
    const holder = await hold();
    const lab = new SupervisorLab();
    try {
      const terminal = lab.runInTerminal('exec "$NODE" "$CLI" unlock --force', {
        NODE,
        CLI,
        DATABASE_URL: db.url,
      });
      const ended = once(terminal, 'exit');
      await lab.untilOutput(`Unlock ${holder}? [y/N]`);
      expect(lab.output.indexOf(`instance id    ${holder}`)).toBeGreaterThanOrEqual(0);
      expect(await isFree()).toBe(false);
      terminal.stdin.write(typed === '\x04' ? typed : `${typed}\n`);
      expect(await ended).toEqual([exitCode, null]);
      expect(await isFree()).toBe(freed);
    } finally {
      await lab.dispose();
    }
  });

  test('--yes skips the question', async () => {
    await hold();
    const lab = new SupervisorLab();
    try {
      const terminal = lab.runInTerminal('exec "$NODE" "$CLI" unlock --force --yes', {
        NODE,
        CLI,
        DATABASE_URL: db.url,
      });
      expect(await once(terminal, 'exit')).toEqual([0, null]);
      expect(lab.output).not.toContain('[y/N]');
      expect(await isFree()).toBe(true);
    } finally {
      await lab.dispose();
    }
  });
});
