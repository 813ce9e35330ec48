import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { AS_NOBODY, Become, SOMEBODY } from '../../support/other-users.js';
import { endProcess, isAlive, processesWith } from '../../support/processes.js';
import {
  assertNothingLeft,
  CLI,
  NODE,
  runCli,
  startCli,
  type EventNamed,
  type RunningCli,
} from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

// One test stops the server, so this file starts its own and ignores TEST_DATABASE_URL.
let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;
const become = new Become();

beforeAll(async () => {
  server = await startServer();
  db = await createDatabase(server.url);
});
afterEach(async () => {
  // Here the test may end every process.
  for (const { pid } of processesWith('KEEP_LEASE_TEST', become.folder)) await endProcess(pid);
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  become.remove();
  await db.sql.end({ timeout: 1 });
  await server.stop();
});

const why = '(skipped where the tests do not run as root, or cannot make a program setuid)';
const ifPossible = become.works ? test : test.skip;
const env = (): Record<string, string> => ({
  DATABASE_URL: db.url,
  TMPDIR: become.folder,
  HOME: become.folder,
  KEEP_LEASE_TEST: become.folder,
});

/** migrate-lock as an ordinary user, with a lease of 2 s. */
function startAsNobody(args: string[], wrapper: string[] = []): RunningCli {
  return startCli(['run', '--ttl', '2s', '--kill-grace', '100ms', ...args], {
    env: env(),
    cwd: '/',
    through: [...wrapper, ...AS_NOBODY],
  });
}

const file = (name: string): string => path.join(become.folder, name);
/**
 * Shell words: another user's process, which writes the times at which it lives, in nanoseconds, until the file `go`
 * exists.
 */
const stubborn = (name: string, go: string): string =>
  `${become.words} sh -c 'date +%s%N >"$0.from"; until [ -e "$1" ]; do date +%s%N >"$0.now"; mv "$0.now" "$0.to"; ` +
  `sleep 0.05; done' '${file(name)}' '${file(go)}'`;
const moment = (name: string): bigint => BigInt(readFileSync(file(name), 'utf8').trim());
const touch = (name: string): unknown => spawnSync('touch', [file(name)]);
const kept = (cli: RunningCli): EventNamed<'lease.kept'>[] =>
  cli.events().filter((event): event is EventNamed<'lease.kept'> => event.event === 'lease.kept');

ifPossible(
  `while a process lives that migrate-lock may not signal, it extends the lease and the next run waits ${why}`,
  async () => {
    await runCli(['init', '--max-ttl', '2s'], { env: env() });
    const holder = startAsNobody(['--', 'sh', '-c', stubborn('a', 'a-go')]);
    const { expiresAt } = await holder.waitForEvent('lock.acquired');
    const next = startCli(
      ['run', '--ttl', '2s', '--kill-grace', '100ms', '--', 'sh', '-c', `date +%s%N >'${file('next')}'`],
      {
        env: env(),
      },
    );
    await waitFor('some extensions', () => kept(holder).length >= 4, { limitMs: 20_000 });
    const [first] = kept(holder);
    expect(first).toMatchObject({ ttlMs: 2_000, last: false });
    expect(first?.processes).toContainEqual({
      pid: expect.any(Number),
      user: String(SOMEBODY),
      command: 'sh',
    });
    const rows = await db.sql<{ early: boolean }[]>`
      SELECT at < ${expiresAt}::timestamptz AS early
        FROM migrate_lock.migration_lock_audit WHERE event = 'lease.extended' ORDER BY id LIMIT 1`;
    expect(rows[0]?.early).toBe(true);
    const { time: killedFrom } = await holder.waitForEvent('child.deadline');
    // The grace is 100 ms, and SIGKILL comes 250 ms later at the latest; a busy machine may need the rest of the lease.
    expect(Date.parse(first?.time ?? '') - Date.parse(killedFrom)).toBeLessThan(600);
    expect(holder.stderr()).toContain(`(sh, user ${SOMEBODY})`);
    touch('a-go');
    const { code, events } = await holder.done;
    expect(code).toBe(124);
    expect(events.at(-2)).toMatchObject({ event: 'lock.released' });
    expect((await next.done).code).toBe(0);
    expect(moment('next')).toBeGreaterThan(moment('a.to'));
    expect(events.filter(({ event }) => event === 'child.deadline')).toHaveLength(1);
  },
);

ifPossible(`another signal ends that: the lease expires ${why}`, async () => {
  const holder = startAsNobody(['--', 'sh', '-c', stubborn('b', 'b-go')]);
  await holder.waitForEvent('lease.kept');
  holder.kill('SIGTERM');
  const { code, events } = await holder.done;
  expect(code).toBe(124);
  const failed = events.find(({ event }) => event === 'lock.release_failed');
  const last = events.filter((event) => event.event === 'lease.kept').at(-1);
  expect(failed).toMatchObject({ code: 'CHILD_NOT_GONE', expiresAt: last?.expiresAt });
  touch('b-go');
});

ifPossible(
  `a leftover process of a command that ended by itself keeps the lease for one more ttl, and no success is stored ${why}`,
  async () => {
    const holder = startAsNobody([
      '--once',
      'v1.2',
      '--',
      'sh',
      '-c',
      `${stubborn('c', 'c-go')} & sleep 0.3`,
    ]);
    const { code, events, stderr } = await holder.done;
    expect(code).toBe(73);
    const names = events.map(({ event }) => event);
    expect(names.filter((name) => name === 'lease.kept')).toHaveLength(1);
    expect(events.find(({ event }) => event === 'lease.kept')).toMatchObject({ last: true });
    expect(names.slice(-3)).toEqual(['lock.release_failed', 'run.not_stored', 'run.finished']);
    expect(stderr).toContain('the success of v1.2 could not be stored');
    touch('c-go');
  },
);

ifPossible(`if it ends in that time, the lock is released ${why}`, async () => {
  const holder = startAsNobody(['--', 'sh', '-c', `${stubborn('d', 'd-go')} & sleep 0.3`]);
  await holder.waitForEvent('lease.kept');
  touch('d-go');
  const { code, events } = await holder.done;
  expect(code).toBe(0);
  expect(events.map(({ event }) => event)).toContain('lock.released');
});

ifPossible(`while the database is down, an event says that the lease cannot be extended ${why}`, async () => {
  const holder = startAsNobody(['--', 'sh', '-c', stubborn('e', 'e-go')]);
  await holder.waitForEvent('child.started');
  await server.halt('fast');
  const { code, events } = await holder.done;
  await server.start();
  expect(code).toBe(124);
  const names = events.map(({ event }) => event);
  expect(names).toContain('database.unavailable');
  expect(names).not.toContain('lease.kept');
  expect(events.find(({ event }) => event === 'lock.release_failed')).toMatchObject({
    code: 'CHILD_NOT_GONE',
    message: expect.stringContaining('could not be extended'),
  });
  touch('e-go');
});

// In its own mount namespace: remounting would change the whole machine's /proc.
const HIDE = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"';
const [major = 0, minor = 0] = release().split('.').map(Number);
const mayHide =
  become.works &&
  (major > 5 || (major === 5 && minor >= 8)) &&
  spawnSync('unshare', ['--mount', 'sh', '-c', HIDE, 'sh', 'true']).status === 0;

(mayHide ? test : test.skip)(
  'where /proc hides the processes of other users, a process in the group keeps the lease (skipped where a namespace cannot be made)',
  async () => {
    const hide = ['unshare', '--mount', 'sh', '-c', HIDE, 'sh'];
    const holder = startAsNobody(['--', 'sh', '-c', `${stubborn('f', 'f-go')} & sleep 0.3`], hide);
    expect(await holder.waitForEvent('lease.kept')).toMatchObject({ processes: null, last: true });
    const ofOthers = processesWith('KEEP_LEASE_TEST', become.folder).some(({ command }) =>
      command.includes(file('f')),
    );
    expect(ofOthers).toBe(true);
    touch('f-go');
    const { code, events } = await holder.done;
    expect(code).toBe(0);
    expect(events.map(({ event }) => event)).toContain('lock.released');
    expect(isAlive(holder.pid)).toBe(false);

    const quick = await startAsNobody(['--', 'true'], hide).done;
    expect(quick.code).toBe(0);
    const last = quick.events.map(({ event }) => event).slice(-2);
    expect(last).toEqual(['lock.released', 'run.finished']);
  },
);

ifPossible(`a signal to the next try is not taken for one about them ${why}`, async () => {
  const script = `if [ ! -e '${file('tried')}' ]; then touch '${file('tried')}'; ${stubborn('g', 'g-go')} & sleep 0.3; exit 3; fi; trap 'exit 7' TERM; touch '${file('second')}'; sleep 60 & wait`;
  const holder = startAsNobody(['--ttl', '20s', '--retries', '1', '--', 'sh', '-c', script]);
  await holder.waitForEvent('lease.kept');
  touch('g-go');
  await waitFor('the second try runs', () => existsSync(file('second')), { limitMs: 15_000 });
  holder.kill('SIGTERM');
  expect((await holder.done).code).toBe(7);
});

ifPossible(`inside another run it keeps its turn: the next inner run waits ${why}`, async () => {
  const inner = (command: string) => `'${NODE}' '${CLI}' run --kill-grace 100ms -- ${command}`;
  const first = inner(`sh -c "$FIRST"`);
  const holder = startCli(
    ['run', '--ttl', '60s', '--', 'sh', '-c', `${first}; ${inner(`sh -c "date +%s%N >'${file('after')}'"`)}`],
    {
      env: { ...env(), FIRST: `${stubborn('h', 'h-go')} & sleep 0.3` },
      cwd: '/',
      through: [...AS_NOBODY],
    },
  );
  await waitFor('it runs', () => existsSync(file('h.to')));
  // A run gives up 2 s after SIGKILL, which comes after the kill grace, where nothing keeps it.
  const untilMs = performance.now() + 4_000;
  await waitFor('more time than that', () => performance.now() > untilMs, { limitMs: 20_000 });
  touch('h-go');
  expect((await holder.done).code).toBe(0);
  expect(moment('after')).toBeGreaterThan(moment('h.to'));
});
