/** One migration at a time in images of other stacks: packaging/root-filesystems.sh, npm run test:images. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { isAlive, signalProcess, waitUntilGone } from '../support/processes.js';
import { assertNothingLeft } from '../support/run-cli.js';
import { waitFor } from '../support/wait-for.js';
import {
  RANDOM_UID,
  SETTINGS,
  skipNote,
  startIn,
  whyNotRootless,
  whySkipped,
  type Container,
  type Image,
  type Setting,
} from './container.js';

const IMAGES: Image[] = ['debian', 'python', 'distroless', 'busybox'];
const SHELL_LESS: Image[] = ['python', 'distroless'];
/** A killed holder's guard releases within two seconds (docs/guarantees.md), on a busy machine in twice that time. */
const RELEASE_LIMIT_MS = 4_000;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  await db.sql`DROP TABLE IF EXISTS migrated, beats`;
});
afterAll(() => db.drop());

/** What the image has to execute apps/plain/SCRIPT.sql with. */
function program(image: Image, script: string): string[] {
  return image === 'python'
    ? ['python3', '/app/run.py', `/app/${script}.sql`]
    : ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', `/app/${script}.sql`];
}

function start(image: Image, setting: Setting, script: string, ...options: string[]): Container {
  return startIn(image, setting, 'plain', db, ['run', ...options, '--', ...program(image, script)]);
}

const namesOf = ({ events }: { events: { event: string }[] }) => events.map(({ event }) => event);

/** The row of the lock, with times on the database's clock. */
async function lease() {
  const [row] = await db.sql<{ by: string | null; at: Date | null; acquired: Date; expires: Date }[]>`
    SELECT released_by AS by, released_at AS at, locked_at AS acquired, expires_at AS expires
      FROM migrate_lock.migration_lock`;
  if (row === undefined) throw new Error('there is no row of the lock');
  return row;
}

async function lastBeat(): Promise<number> {
  const [row] = await db.sql<{ at: Date }[]>`SELECT max(at) AS at FROM beats`;
  return row?.at.getTime() ?? NaN;
}

const databaseNow = async () =>
  (await db.sql<{ now: Date }[]>`SELECT clock_timestamp() AS now`)[0]?.now.getTime() ?? NaN;

/** A holder whose command writes a row every 100 ms, and a run that waits for its lock. */
async function holderAndWaiter(image: Image, setting: Setting, ...options: string[]) {
  const holder = start(image, setting, 'beat', '--kill-grace', '200ms', ...options);
  const { childPid } = await holder.waitForEvent('child.started');
  const command = holder.hostPidOf(childPid);
  expect(isAlive(command)).toBe(true);
  await waitFor('the command writes', async () => !Number.isNaN(await lastBeat()));
  const held = await lease();
  const waiter = start(image, { ...setting, beside: false }, 'migrate', '--wait-timeout', '60s');
  await waiter.waitForEvent('lock.waiting');
  return { holder, held, waiter, command };
}

/** The waiter has run its command, after the last row of the killed one. */
async function expectTakenOver(waiter: Container) {
  const end = await waiter.done;
  expect(end).toMatchObject({ code: 0 });
  const { acquired } = await lease();
  expect(await lastBeat()).toBeLessThan(acquired.getTime());
  expect(await db.sql`SELECT FROM migrated`).toHaveLength(1);
  return { acquired: acquired.getTime(), events: namesOf(end) };
}

(whySkipped === undefined ? describe : describe.skip)(`the executable in an image${skipNote}`, () => {
  test.each(SHELL_LESS)('%s has no shell', async (image) => {
    for (const shell of ['/bin/sh', 'bash', 'dash', 'busybox']) {
      const { code, events } = await startIn(image, {}, 'plain', db, ['run', '--', shell, '-c', 'true']).done;
      expect([shell, code, events.some(({ event }) => event === 'child.started')]).toEqual([
        shell,
        127,
        false,
      ]);
    }
  });

  test.each(SHELL_LESS)(
    '%s: a check or a recovery is refused, because there is no shell for it',
    async (image) => {
      for (const option of ['--check', '--recover']) {
        const { code, stderr } = await startIn(image, {}, 'plain', db, [
          ...['run', option, 'python3 --version', '--', ...program(image, 'migrate')],
        ]).done;
        expect(code).toBe(127);
        expect(stderr).toContain(`there is no sh in PATH, which runs the line of ${option}`);
      }
    },
  );

  test.each(IMAGES)('%s has no Node', async (image) => {
    const { code } = await startIn(image, {}, 'plain', db, ['run', '--', 'node', '--version']).done;
    expect(code).toBe(127);
  });

  describe.each(IMAGES)('%s', (image) => {
    describe.each(SETTINGS)('%s', (_, setting) => {
      const reason = setting.rootless && whySkipped === undefined ? whyNotRootless : () => undefined;

      test('as process 1: a run migrates, releases, and exits as its command did', async () => {
        expect(reason(image)).toBeUndefined();
        const good = await start(image, setting, 'migrate').done;
        expect(good).toMatchObject({ code: 0 });
        expect(namesOf(good).slice(-3)).toEqual(['child.exited', 'lock.released', 'run.finished']);
        expect(namesOf(good)).not.toContain('guard.absent');
        expect(namesOf(good)).not.toContain('child.unseen');
        // Nothing can be written, /dev/shm included.
        expect(namesOf(good)).toContain('socket.absent');
        expect(good.events[0]).toMatchObject({ pid: 1 });
        expect(await lease()).toMatchObject({ by: 'holder' });
        const [row] = await db.sql<{ by: string }[]>`SELECT by FROM migrated`;
        expect(row?.by).toBe(`migrate-lock:${good.events[0]?.instanceId}`);

        expect(await start(image, setting, 'fail').done).toMatchObject({ code: 3 });
        expect(await lease()).toMatchObject({ by: 'holder' });
      });

      test('kill -9 of migrate-lock alone: its guard ends the command and releases', async () => {
        const { holder, held, waiter, command } = await holderAndWaiter(image, { ...setting, beside: true });
        const killed = await databaseNow();
        signalProcess(holder.hostPid(), 'SIGKILL');
        const { acquired } = await expectTakenOver(waiter);
        expect(acquired - killed).toBeLessThan(RELEASE_LIMIT_MS);
        expect(acquired).toBeLessThan(held.expires.getTime());
        expect(isAlive(command)).toBe(false);
        expect(await holder.done).toMatchObject({ code: 137 });
      });
    });

    const setting: Setting = { user: RANDOM_UID };
    const within = (...words: string[]) => startIn(image, { ...setting, shm: true }, 'plain', db, words).done;

    test('with /dev/shm, the command extends its lease, and a run inside it shares the lease', async () => {
      const extended = await within('run', '--', 'migrate-lock', 'extend', '--ttl', '1m');
      expect(extended).toMatchObject({ code: 0 });
      expect(namesOf(extended)).toContain('lease.extended');
      const nested = await within('run', '--', 'migrate-lock', 'run', '--', 'migrate-lock', 'assert');
      expect(nested).toMatchObject({ code: 0 });
      expect(namesOf(nested)).not.toContain('socket.absent');
      expect(nested.stderr).toContain('"lock.inherited"');
    });

    test('wait becomes its command when the work of the run key is done', async () => {
      expect(await within('run', '--once', 'a', '--', ...program(image, 'migrate'))).toMatchObject({
        code: 0,
      });
      const waited = await within('wait', '--once', 'a', '--', ...program(image, 'fail'));
      expect(waited).toMatchObject({ code: 3 });
      expect(namesOf(waited)).toContain('wait.finished');
    });

    test('kill -9 of process 1: the container has ended, and the lease is taken over when it expires', async () => {
      const { holder, held, waiter } = await holderAndWaiter(image, setting, '--ttl', '6s');
      signalProcess(holder.hostPid(), 'SIGKILL');
      await holder.done;
      const { acquired, events } = await expectTakenOver(waiter);
      expect(events).toContain('lock.takeover');
      expect(acquired).toBeGreaterThanOrEqual(held.expires.getTime());
      expect(acquired - held.expires.getTime()).toBeLessThan(RELEASE_LIMIT_MS);
    });

    test('migrate-lock is stopped: its guard ends the command before the lease expires', async () => {
      const { holder, held, waiter, command } = await holderAndWaiter(image, setting, '--ttl', '6s');
      const pid = holder.hostPid();
      signalProcess(pid, 'SIGSTOP');
      await waitUntilGone(command);
      expect(await databaseNow()).toBeLessThan(held.expires.getTime());
      const { acquired } = await expectTakenOver(waiter);
      expect(acquired).toBeGreaterThanOrEqual(held.expires.getTime());
      signalProcess(pid, 'SIGCONT');
      expect(await holder.done).toMatchObject({ code: 124 });
    });

    test('the stop signal of a container ends the command, and the lock is released', async () => {
      const { holder, held, waiter } = await holderAndWaiter(image, setting);
      const pid = holder.hostPid();
      signalProcess(pid, 'SIGTERM');
      expect((await holder.done).code).toBe(143);
      await waitUntilGone(pid);
      const { acquired } = await expectTakenOver(waiter);
      expect(acquired).toBeLessThan(held.expires.getTime());
    });
  });
});
