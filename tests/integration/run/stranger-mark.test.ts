/** MIGRATE_LOCK_INSTANCES marks a run's processes. Instance ids are public: another process can write one there. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { endProcess, isAlive, waitUntilGone } from '../../support/processes.js';
import { assertNothingLeft, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

let db: TestDatabase;
const strangers: ChildProcess[] = [];

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  for (const { pid } of strangers.splice(0)) if (pid !== undefined) await endProcess(pid);
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const start = (command: string[], args: string[] = []) =>
  startCli(['run', '--ttl', '10m', ...args, '--', ...command], { env: { DATABASE_URL: db.url } });

/** A process that claims to belong to the run `instanceId`. */
async function startStranger(instanceId: string, uid: number | undefined): Promise<number> {
  const stranger = spawn('/bin/sh', ['-c', 'echo there; exec sleep 1000'], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', MIGRATE_LOCK_INSTANCES: instanceId },
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  strangers.push(stranger);
  await new Promise((resolve) => stranger.stdout.once('data', resolve));
  return stranger.pid ?? 0;
}

const environ = (pid: number): string[] => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');

describe.each<[string, number | undefined, boolean]>([
  ['of our own user', undefined, true],
  ['of another user (skipped where we are not root)', NOBODY, isRoot],
])('a process %s that names the instance id', (_, uid, possible) => {
  const it = possible ? test : test.skip;

  it('is not counted, signalled or waited for when the command ends', async () => {
    const run = start(['sh', '-c', 'kill -STOP $$; exit 0']);
    const { instanceId, childPid } = await run.waitForEvent('child.started');
    const stranger = await startStranger(instanceId, uid);
    await waitFor('the stop', () => readFileSync(`/proc/${childPid}/stat`, 'utf8').includes(') T '));
    process.kill(childPid, 'SIGCONT');
    const { code, events } = await run.done;
    expect(code).toBe(0);
    expect(events.map(({ event }) => event)).not.toContain('child.leftover');
    expect(events.map(({ event }) => event)).toContain('lock.released');
    expect(isAlive(stranger)).toBe(true);
  });

  it('is not signalled by the guard of a killed run', async () => {
    const run = start(['sleep', '1000']);
    const { instanceId, childPid } = await run.waitForEvent('child.started');
    const stranger = await startStranger(instanceId, uid);
    run.kill('SIGKILL');
    await waitUntilGone(childPid);
    await waitFor(
      'the release',
      async () =>
        (await db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NOT NULL`).length === 1,
    );
    expect(isAlive(stranger)).toBe(true);
  });
});

test('the mark is in no process argument, in no event, and in no row', async () => {
  const run = start(['sleep', '1000']);
  const { childPid } = await run.waitForEvent('child.started');
  const [, mark = ''] = /^MIGRATE_LOCK_INSTANCES=(.*)$/m.exec(environ(childPid).join('\n')) ?? [];
  expect(mark).toMatch(/^[\w-]{32}$/);
  const argumentsOfAll = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8')];
      } catch {
        return []; // ended since then
      }
    });
  expect(argumentsOfAll.filter((text) => text.includes('migrate-lock-guard')).length).toBeGreaterThan(0);
  expect(argumentsOfAll.filter((text) => text.includes(mark))).toEqual([]);
  const history =
    await db.sql`SELECT to_jsonb(entry)::text AS text FROM migrate_lock.migration_lock_audit AS entry`;
  run.kill('SIGTERM');
  const { stdout, stderr } = await run.done;
  expect([stdout, stderr, ...history.map(({ text }) => String(text))].join('\n')).not.toContain(mark);
});
