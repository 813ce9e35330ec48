import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { assertNothingLeft, CLI, startCli } from '../harness/run-cli.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  await db.sql`CREATE TABLE ran (instance_id text, during tstzrange, EXCLUDE USING gist (during WITH &&))`;
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const INTERVAL = new URL('../fixtures/interval.mjs', import.meta.url).pathname;

/** A run whose command is a shell line, in which "$RUN" stands for an inner run. */
function nest(line: string, args: string[] = [], env: Record<string, string> = {}) {
  return startCli(
    ['run', ...args, '--', 'sh', '-c', line.replaceAll('$RUN', '"$NODE" "$CLI" run --wait-timeout 20s')],
    {
      env: { DATABASE_URL: db.url, NODE: process.execPath, CLI, INTERVAL, ...env },
    },
  ).done;
}

/** The inner runs' audit lines: their stdout is the outer child's, which is our stderr. */
function innerEvents(stderr: string): { event: string; [key: string]: unknown }[] {
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('{"v":1'))
    .map((line) => JSON.parse(line) as { event: string });
}

test('an inner run on the same lock runs under the lease that is held', async () => {
  const { code, events, stderr } = await nest('$RUN -- sh -c "exit 7"');
  expect(code).toBe(7);
  const inner = innerEvents(stderr);
  expect(inner.map(({ event }) => event)).toEqual([
    'lock.inherited',
    'child.started',
    'child.exited',
    'run.finished',
  ]);
  expect(inner[0]).toMatchObject({ holder: events[0]?.instanceId, fencingToken: 1 });
});

test('two inner runs at a time take turns', async () => {
  const { code, stderr } = await nest('$RUN -- "$NODE" "$INTERVAL" & $RUN -- "$NODE" "$INTERVAL" && wait $!');
  expect(stderr).not.toContain('exclusion constraint');
  expect(code).toBe(0);
  expect(innerEvents(stderr).filter(({ event }) => event === 'lock.inherited')).toHaveLength(2);
});

test('an inner run has the deadline of the lease', async () => {
  const { code, stderr } = await nest('$RUN --ttl 10m -- sleep 1000', [
    '--ttl',
    '4s',
    '--kill-grace',
    '500ms',
  ]);
  expect(code).toBe(124);
  expect(innerEvents(stderr).map(({ event }) => event)).toContain('lock.inherited');
});

test('an extension moves the deadline of the inner run too', async () => {
  const { code } = await nest('$RUN -- sh -c "\\"$NODE\\" \\"$CLI\\" extend --ttl 1m && sleep 5"', [
    '--ttl',
    '4s',
    '--kill-grace',
    '200ms',
  ]);
  expect(code).toBe(0);
});

test('on another lock it locks as usual, and the tag carries both ids', async () => {
  const { code, events, stderr } = await nest('$RUN --schema other -- sh -c "echo tag=\\$PGAPPNAME"');
  expect(code).toBe(0);
  const inner = innerEvents(stderr);
  expect(inner.map(({ event }) => event)).toContain('lock.released');
  expect(stderr).toContain(`tag=migrate-lock:${events[0]?.instanceId}:${String(inner[0]?.instanceId)}`);
  await db.sql`DROP SCHEMA other CASCADE`;
});

test('a variable that was left over proves nothing: without a living holder it locks as usual', async () => {
  const { code, events } = await startCli(['run', '--', 'true'], {
    env: { DATABASE_URL: db.url, MIGRATE_LOCK_SOCKET: '/nowhere/s', MIGRATE_LOCK_INSTANCE_ID: 'x' },
  }).done;
  expect(code).toBe(0);
  expect(events.map(({ event }) => event)).toContain('lock.acquired');
});
