import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';

let db: TestDatabase;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-test-'));
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
});

function run(args: string[], env: Record<string, string> = {}) {
  return runCli(['run', ...args], { env: { DATABASE_URL: db.url, ...env } });
}

/** No program listens there: the port is reserved. */
const NOBODY = 'postgres://u:p@127.0.0.1:1/db';

describe('the exit code of the child', () => {
  test.each([0, 1, 2, 64, 75, 124, 255])('%i', async (exitCode) => {
    const { code, events } = await run(['--', 'sh', '-c', `exit ${exitCode}`]);
    expect(code).toBe(exitCode);
    expect(events.at(-1)).toMatchObject({ event: 'run.finished', outcome: 'completed', exitCode });
  });

  test.each([
    ['SIGKILL', 137],
    ['SIGSEGV', 139],
    ['SIGTERM', 143],
  ] as const)('killed by %s: %i', async (signal, exitCode) => {
    const { code, events } = await run(['--', 'sh', '-c', `kill -${signal.slice(3)} $$`]);
    expect(code).toBe(exitCode);
    expect(events.find(({ event }) => event === 'child.exited')).toMatchObject({ exitCode: null, signal });
  });
});

describe('64: a usage error, before anything is done', () => {
  test.each<[string, string[], Record<string, string>, string[]]>([
    ['no command', ['--'], {}, ['no command', '-- knex migrate:latest']],
    ['a bad duration', ['--ttl', '5 parsecs', '--', 'true'], {}, ['--ttl', '5 parsecs', '--ttl 30s']],
    [
      'a bad duration in the environment',
      ['--', 'true'],
      { MIGRATE_LOCK_WAIT_TIMEOUT: 'soon' },
      ['MIGRATE_LOCK_WAIT_TIMEOUT', 'soon'],
    ],
    ['a duration that is too long', ['--ttl', '1000h', '--', 'true'], {}, ['too long', 'at most 24d']],
    ['a duration of many digits', ['--ttl', `${'9'.repeat(40)}h`, '--', 'true'], {}, ['too long']],
    [
      'a switch that says neither',
      ['--', 'true'],
      { MIGRATE_LOCK_QUIET: 'perhaps' },
      ['MIGRATE_LOCK_QUIET', 'perhaps'],
    ],
    ['an empty variable before --', ['--once', '--', 'true'], {}, ['--once', '"$NAME"']],
    [
      'an empty variable before an option',
      ['--schema', '--quiet', '--', 'true'],
      {},
      ['--schema', '--quiet'],
    ],
    ['an empty variable before the command', ['--once', 'npx', 'knex'], {}, ['--once', '-- before']],
    [
      'a key with an unexpanded variable',
      ['--once', '$(GIT_SHA)', '--', 'true'],
      {},
      ['--once', 'Use a key'],
    ],
    [
      'a key from the environment with an unexpanded variable',
      ['--', 'true'],
      { MIGRATE_LOCK_ONCE: '${GIT_SHA}' },
      ['MIGRATE_LOCK_ONCE contains', 'Use a key'],
    ],
    ['a ttl that leaves no time', ['--ttl', '5s', '--', 'true'], {}, ['--kill-grace', '--ttl']],
    ['an unknown option', ['--nope', '--', 'true'], {}, ['--nope']],
    ['a bad choice', ['--child-stdout', 'nowhere', '--', 'true'], {}, ['--child-stdout', 'nowhere']],
    ['a bad exit code', ['--conflict-exit-code', '256', '--', 'true'], {}, ['--conflict-exit-code', '256']],
    ['a bad schema name', ['--schema', 'x'.repeat(64), '--', 'true'], {}, ['--schema', '63']],
    ['a URL that is none', ['--', 'true'], { DATABASE_URL: 'postgres://u:hunter2@#/x' }, ['URL']],
    ['no database', ['--', 'true'], { DATABASE_URL: '' }, ['database', 'DATABASE_URL']],
  ])('%s', async (_, args, env, words) => {
    const { code, stdout, stderr } = await run(args, env);
    expect(code).toBe(64);
    expect(stdout).toBe('');
    for (const word of words) expect(stderr).toContain(word);
    expect(stderr).not.toMatch(/hunter2|\n\s+at /);
  });
});

describe('126 and 127: before the database is used', () => {
  test('127 when the command is not found', async () => {
    const { code, events } = await run(['--', 'no-such-command'], { DATABASE_URL: NOBODY });
    expect(code).toBe(127);
    expect(events.map(({ event }) => event)).toEqual(['error', 'run.finished']);
    expect(events[0]).toMatchObject({ code: 'COMMAND_NOT_FOUND' });
  });

  test('126 when the command is not executable', async () => {
    writeFileSync(join(folder, 'plain'), 'no program', { mode: 0o644 });
    const { code, events } = await run(['--', join(folder, 'plain')], { DATABASE_URL: NOBODY });
    expect(code).toBe(126);
    expect(events[0]).toMatchObject({ event: 'error', code: 'COMMAND_NOT_EXECUTABLE' });
  });

  test('a missing interpreter is noticed at the start: the lease is released', async () => {
    writeFileSync(join(folder, 'script'), '#!/no/such/interpreter\n', { mode: 0o755 });
    const { code, events } = await run(['--', join(folder, 'script')]);
    expect(code).toBe(126);
    expect(events.map(({ event }) => event)).toEqual(
      expect.arrayContaining(['lock.released', 'error', 'run.finished']),
    );
  });
});

describe('the database', () => {
  test('69 when it cannot be reached within the wait timeout', async () => {
    const { code, events } = await run(['--wait-timeout', '300ms', '--', 'true'], { DATABASE_URL: NOBODY });
    expect(code).toBe(69);
    expect(events.map(({ event }) => event)).toEqual(['database.unavailable', 'error', 'run.finished']);
    expect(events.at(-1)).toMatchObject({ outcome: 'error', exitCode: 69 });
  });

  test('69 when its host name does not resolve', async () => {
    const { code, stderr } = await run(['--wait-timeout', '0', '--', 'true'], {
      DATABASE_URL: 'postgres://u:p@no-such-host.invalid/db',
    });
    expect(code).toBe(69);
    expect(stderr).toContain('no-such-host.invalid');
  });

  test('78 at once for a wrong password, which is not printed', async () => {
    const url = db.urlWith((changed) => (changed.password = 'hunter2-wrong'));
    const { code, stderr, stdout } = await run(['--', 'true'], { DATABASE_URL: url });
    expect(code).toBe(78);
    expect(stderr).toContain('password');
    expect(stderr + stdout).not.toContain('hunter2');
  });

  test('78 at once when the database does not exist', async () => {
    const url = db.urlWith((changed) => (changed.pathname = '/no_such_database'));
    const { code, stderr } = await run(['--', 'true'], { DATABASE_URL: url });
    expect(code).toBe(78);
    expect(stderr).toContain('cannot be what creates it');
  });

  test('78 when TLS is required and the server has none', async () => {
    const url = db.urlWith((changed) => changed.searchParams.set('sslmode', 'require'));
    const { code, stderr } = await run(['--', 'true'], { DATABASE_URL: url });
    expect(code).toBe(78);
    expect(stderr).toContain('TLS');
  });

  test('77 when the role lacks a right', async () => {
    const role = await db.createRole();
    const { code, stderr } = await run(['--schema', 'not_there', '--', 'true'], { DATABASE_URL: role.url });
    expect(code).toBe(77);
    expect(stderr).toContain('migrate-lock init');
  });
});

describe('the lock', () => {
  test('75 when the wait timeout passes; --conflict-exit-code changes it', async () => {
    const holder = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
    await holder.waitForEvent('child.started');
    const one = await run(['--wait-timeout', '0', '--', 'true']);
    expect(one.code).toBe(75);
    expect(one.events.map(({ event }) => event)).toEqual(['lock.waiting', 'wait.timeout', 'run.finished']);
    expect(one.events.at(-1)).toMatchObject({ outcome: 'conflict', exitCode: 75 });
    expect(one.stderr).toContain('sleep 1000');
    const other = await run(['--wait-timeout', '300ms', '--conflict-exit-code', '0', '--', 'true']);
    expect(other.code).toBe(0);
    expect(other.events.at(-1)).toMatchObject({ outcome: 'conflict', exitCode: 0 });
    expect(await db.sql`SELECT FROM migrate_lock.migration_lock_waiter`).toHaveLength(0);
    holder.kill('SIGTERM');
    await holder.done;
  });

  test.each([
    ['another instance has it', `UPDATE migrate_lock.migration_lock SET instance_id = 'another'`, 'another'],
    ['the row is gone', 'DELETE FROM migrate_lock.migration_lock', null],
  ])('70: %s before the lease ends', async (_, statement, holder) => {
    const cli = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
    await cli.waitForEvent('child.started');
    await db.sql.unsafe(statement);
    cli.kill('SIGTERM');
    const { code, events } = await cli.done;
    expect(code).toBe(70);
    expect(events.find(({ event }) => event === 'lock.lost')).toMatchObject({ holder });
    expect(events.at(-1)).toMatchObject({ outcome: 'lost', exitCode: 70 });
    await db.sql`DELETE FROM migrate_lock.migration_lock`;
  });

  test('124 when the command is ended at its deadline, before the lease expires', async () => {
    const { code, events, stderr } = await run([
      '--ttl',
      '2s',
      '--kill-grace',
      '200ms',
      '--',
      'sleep',
      '1000',
    ]);
    expect(code).toBe(124);
    expect(events.map(({ event }) => event).slice(-4)).toEqual([
      'child.deadline',
      'child.exited',
      'lock.released',
      'run.finished',
    ]);
    expect(stderr).toContain('--ttl');
    const [lease] = await db.sql`
      SELECT details ->> 'late' AS late FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released' ORDER BY id DESC LIMIT 1`;
    expect(lease?.late).toBe('false');
  });

  test('124 when a command that ignores SIGTERM is killed before the lease expires', async () => {
    const { code, events } = await run([
      '--ttl',
      '2s',
      '--kill-grace',
      '200ms',
      '--',
      'sh',
      '-c',
      'trap "" TERM; while :; do sleep 0.1; done',
    ]);
    expect(code).toBe(124);
    expect(events.find(({ event }) => event === 'child.exited')).toMatchObject({ signal: 'SIGKILL' });
    const [lease] = await db.sql`
      SELECT details ->> 'late' AS late FROM migrate_lock.migration_lock_audit WHERE event = 'lock.released' ORDER BY id DESC LIMIT 1`;
    expect(lease?.late).toBe('false');
  });
});
