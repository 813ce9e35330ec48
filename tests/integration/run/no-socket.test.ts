/**
 * Runs without a place for a socket, or whose socket the inner runs cannot reach: no run may wait for its own outer
 * run.
 */
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, CLI, startCli } from '../../support/run-cli.js';

const fixture = (name: string) => fileURLToPath(new URL(`../../support/fixtures/${name}`, import.meta.url));
const NO_PLACE = { NODE_OPTIONS: `--require ${fixture('no-place.cjs')}` };
const asRoot = process.getuid?.() === 0 ? test : test.skip;
const NOT_ROOT = '(skipped where we are not root, and cannot become another user)';

let db: TestDatabase;
/** A copy of the program that every user can read. */
let shared: string;

beforeAll(async () => {
  db = await createDatabase();
  shared = mkdtempSync('/tmp/migrate-lock-test-');
  cpSync(CLI, join(shared, 'dist', 'migrate-lock.cjs'));
  cpSync(fixture('become-nobody.cjs'), join(shared, 'become-nobody.cjs'));
  if (process.getuid?.() === 0) makeReadable(shared);
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  rmSync(shared, { recursive: true });
  await db.drop();
});

/** Always Node.js and the script: what is preloaded has no effect on the executable. */
const onNode = { executable: process.execPath };

function start(args: string[], command: string, env: Record<string, string | undefined> = {}) {
  return startCli([CLI, 'run', ...args, '--', 'sh', '-c', command], {
    env: { DATABASE_URL: db.url, NODE: process.execPath, CLI, ...env },
    ...onNode,
  });
}

const RUN = '"$NODE" "$CLI" run --wait-timeout 20s';
/** The exit code of an inner run that would wait for its outer run. */
const REFUSED = 64;

describe('without a place for a socket', () => {
  test('a run reports it at the start, and works', async () => {
    const { code, events, stderr } = await start([], 'echo "socket=$MIGRATE_LOCK_SOCKET"', {
      ...NO_PLACE,
      TMPDIR: '/nonexistent',
    }).done;
    expect(code).toBe(0);
    expect(events[0]).toMatchObject({ event: 'socket.absent' });
    const { reason } = events[0] as unknown as { reason: string };
    expect(reason).toMatch(/^\/nonexistent: ENOENT.*; \/tmp: EROFS.*; \/dev\/shm: /);
    expect(stderr).toContain('a socket could not be created: the command cannot extend its lease');
    expect(stderr).toContain('socket=\n');
  });

  test('`extend` is not proposed, and fails with the reason', async () => {
    const { code, events, stderr } = await start(
      ['--ttl', '4s', '--kill-grace', '100ms'],
      '"$NODE" "$CLI" extend --ttl 1m; echo "code=$?"; sleep 1000',
      NO_PLACE,
    ).done;
    expect(code).toBe(124);
    expect(events.find(({ event }) => event === 'lease.expiring')).toMatchObject({ canExtend: false });
    expect(stderr).toContain('code=64');
    expect(stderr).toContain('The lease cannot be extended from here: the run has no socket');
    expect(stderr).not.toContain('migrate-lock extend');
  });

  test('an inner run on the same lock fails at once with the reason', async () => {
    const { code, stderr } = await start([], `${RUN} -- true`, NO_PLACE).done;
    expect(code).toBe(REFUSED);
    expect(stderr).toContain('"code":"OUTER_RUN_UNREACHABLE"');
    expect(stderr).toContain('this process was not given the path of its socket');
    expect(stderr).not.toContain('waiting for the lock');
  });

  test('an inner run inside of a run on another lock fails in the same way', async () => {
    const { code, stderr } = await start([], `${RUN} --schema other -- ${RUN} -- true`, NO_PLACE).done;
    expect(code).toBe(REFUSED);
    expect(stderr).toContain('"code":"OUTER_RUN_UNREACHABLE"');
    await db.sql`DROP SCHEMA other CASCADE`;
  });

  test('a run inside of an inner run without a place fails in the same way', async () => {
    const inner = `NODE_OPTIONS='${NO_PLACE.NODE_OPTIONS}' ${RUN} -- ${RUN} -- true`;
    const { code, stderr } = await start([], inner).done;
    expect(code).toBe(REFUSED);
    expect(stderr).toContain('this process was not given the path of its socket');
  });

  test('extend does not extend an outer run on another lock instead', async () => {
    const inner = `NODE_OPTIONS='${NO_PLACE.NODE_OPTIONS}' ${RUN} --schema other -- sh -c '"$NODE" "$CLI" extend --ttl 10m'`;
    const { code, events } = await start([], inner).done;
    expect(code).toBe(64);
    expect(events.map(({ event }) => event)).not.toContain('lease.extended');
    await db.sql`DROP SCHEMA other CASCADE`;
  });
});

test('a TMPDIR that does not exist is skipped: other folders are tried', async () => {
  const { code, events } = await start([], `${RUN} -- sh -c '"$NODE" "$CLI" extend --ttl 10m'`, {
    TMPDIR: '/nonexistent',
  }).done;
  expect(code).toBe(0);
  expect(events.map(({ event }) => event)).toContain('lease.extended');
  expect(events.map(({ event }) => event)).not.toContain('socket.absent');
});

describe('with a cleaned environment, an inner run on the same lock fails at once', () => {
  test('when only its own variables are gone', async () => {
    const { code, stderr } = await start([], `unset MIGRATE_LOCK_SOCKET PGAPPNAME; ${RUN} -- true`).done;
    expect(code).toBe(REFUSED);
    expect(stderr).toContain('"code":"OUTER_RUN_UNREACHABLE"');
  });

  test('when only the session name is left', async () => {
    const { code } = await start(
      [],
      `unset $(env | sed -n 's/^\\(MIGRATE_LOCK_[A-Z_]*\\)=.*/\\1/p'); ${RUN} -- true`,
    ).done;
    expect(code).toBe(REFUSED);
  });

  // Linux shows the processes above it.
  (process.platform === 'linux' ? test : test.skip)('when all variables are gone', async () => {
    const { code, stderr } = await start([], `env -i DATABASE_URL="$DATABASE_URL" ${RUN} -- true`).done;
    expect(code).toBe(REFUSED);
    expect(stderr).toContain('"code":"OUTER_RUN_UNREACHABLE"');
  });

  asRoot(`also as another user ${NOT_ROOT}`, async () => {
    const { code, stderr } = await start(
      [],
      `cd /; env -i DATABASE_URL="$DATABASE_URL" "$NODE" --require "$SHARED/become-nobody.cjs" ` +
        `"$SHARED/dist/migrate-lock.cjs" run --wait-timeout 20s -- true`,
      { SHARED: shared },
    ).done;
    expect(code).toBe(REFUSED);
    expect(stderr).toContain('"code":"OUTER_RUN_UNREACHABLE"');
  });
});

describe('with the environment of the outer run, as another user', () => {
  const inner = (env: Record<string, string>, program: string[]) =>
    startCli(['run', '--wait-timeout', '20s', '--', 'true'], {
      env: { ...env, DATABASE_URL: db.url },
      cwd: '/',
      program,
    });
  const asNobody = () => [
    '--require',
    join(shared, 'become-nobody.cjs'),
    join(shared, 'dist', 'migrate-lock.cjs'),
  ];
  const environmentOf = (pid: number) =>
    Object.fromEntries(
      readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .filter((entry) => /^(MIGRATE_LOCK_|PGAPPNAME=)/.test(entry))
        .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    ) as Record<string, string>;

  asRoot.each([
    ['root inside of a run of another user', asNobody, () => [CLI], /belongs to another user \(uid 65534\)/],
    ['another user inside of a run of root', () => [CLI], asNobody, /EACCES/],
  ])(`%s fails at once, and says why ${NOT_ROOT}`, async (_, outerProgram, innerProgram, reason) => {
    const outer = startCli(['run', '--', 'sleep', '1000'], {
      env: { DATABASE_URL: db.url },
      cwd: '/',
      program: outerProgram(),
    });
    const { childPid } = await outer.waitForEvent('child.started');
    const { code, events } = await inner(environmentOf(childPid), innerProgram()).done;
    outer.kill('SIGTERM');
    await outer.done;
    expect(code).toBe(REFUSED);
    expect(events.find(({ event }) => event === 'error')).toMatchObject({
      code: 'OUTER_RUN_UNREACHABLE',
      message: expect.stringMatching(reason) as unknown,
    });
  });
});

test('a run whose variables name no existing holder waits as usual', async () => {
  const holder = start([], 'sleep 1000');
  await holder.waitForEvent('child.started');
  const waiter = startCli(['run', '--wait-timeout', '300ms', '--', 'true'], {
    env: { DATABASE_URL: db.url, MIGRATE_LOCK_INSTANCE_ID: 'x', PGAPPNAME: 'migrate-lock:x:y' },
  });
  const { code } = await waiter.done;
  holder.kill('SIGTERM');
  await holder.done;
  expect(code).toBe(75);
});

function makeReadable(folder: string): void {
  chmodSync(folder, 0o755);
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const entry = join(folder, name);
    chmodSync(entry, statSync(entry).isDirectory() ? 0o755 : 0o644);
  }
}
