import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { childrenOf, isAlive, signalProcess } from '../../support/processes.js';
import { assertNothingLeft, CLI, NODE, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  await db.sql`CREATE TABLE ran (instance_id text, during tstzrange, EXCLUDE USING gist (during WITH &&))`;
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  await db.sql`TRUNCATE ran`;
});
afterAll(() => db.drop());

const INTERVAL = new URL('../../support/fixtures/interval.mjs', import.meta.url).pathname;

/** A run whose command is a shell line, in which "$RUN" starts an inner run. */
function start(line: string, args: string[] = [], env: Record<string, string> = {}) {
  return startCli(
    ['run', ...args, '--', 'sh', '-c', line.replaceAll('$RUN', '"$NODE" "$CLI" run --wait-timeout 20s')],
    {
      env: { DATABASE_URL: db.url, NODE, CLI, INTERVAL, ...env },
    },
  );
}

const nest = (...given: Parameters<typeof start>) => start(...given).done;

/** The inner runs' events: their stdout is the outer command's, which is the outer run's stderr. */
function innerEvents(stderr: string): { event: string; [key: string]: unknown }[] {
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('{"v":1'))
    .map((line) => JSON.parse(line) as { event: string });
}

test("an inner run on the same lock uses the outer run's lease", async () => {
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

test('two inner runs take turns', async () => {
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

test("an inner run's deadline is reported with the length and the end of the lease that it is under", async () => {
  // It outlives SIGTERM, so that the inner run reaches the deadline, too.
  const deaf = `sh -c "trap '' TERM; while :; do sleep 0.1; done"`;
  const { stderr } = await nest(`$RUN --ttl 10m -- ${deaf}`, ['--ttl', '4s', '--kill-grace', '1s']);
  const inner = innerEvents(stderr);
  const inherited = inner.find(({ event }) => event === 'lock.inherited');
  const deadline = inner.find(({ event }) => event === 'child.deadline');
  expect(Math.abs(Number(deadline?.ttlMs) - 4_000)).toBeLessThan(5);
  const endsMs = Date.parse(String(deadline?.time)) + Number(deadline?.expiresInMs);
  expect(Math.abs(endsMs - Date.parse(String(inherited?.expiresAt)))).toBeLessThan(100);
});

test('a deadline after an extension is reported with the length of the extended lease', async () => {
  const { events, stderr } = await nest('"$NODE" "$CLI" extend --ttl 5s && exec sleep 1000', [
    '--ttl',
    '4s',
    '--kill-grace',
    '0',
  ]);
  const deadline = events.find(({ event }) => event === 'child.deadline');
  expect(deadline).toHaveProperty('ttlMs', expect.any(Number));
  expect(deadline !== undefined && 'ttlMs' in deadline && deadline.ttlMs).toBeGreaterThan(5_000);
  expect(stderr).toMatch(/for example --ttl \d+s\. /);
});

test('a signal ends an inner run while the outer run does not answer', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-test-'));
  const stopped = join(folder, 'stopped');
  const line =
    'until [ -e "$STOPPED" ]; do sleep 0.1; done; $RUN -- true & echo PID=$!; wait $!; echo INNER=$?';
  const run = start(line, [], { STOPPED: stopped });
  await run.waitForEvent('child.started');
  run.kill('SIGSTOP');
  writeFileSync(stopped, '');
  const [, pid] = await waitFor('the inner run', () => /^PID=(\d+)$/m.exec(run.stderr()));
  await waitFor('its guard: from then on it handles signals', () => childrenOf(Number(pid)).length > 0);
  signalProcess(Number(pid), 'SIGTERM');
  await waitFor('its end', () => run.stderr().includes('\nINNER=143\n'), { limitMs: 8_000 });
  run.kill('SIGCONT');
  expect((await run.done).code).toBe(0);
  rmSync(folder, { recursive: true });
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

test('an inner run on another lock acquires that lock, and the session name has both ids', async () => {
  const { code, events, stderr } = await nest('$RUN --schema other -- sh -c "echo tag=\\$PGAPPNAME"');
  expect(code).toBe(0);
  const inner = innerEvents(stderr);
  expect(inner.map(({ event }) => event)).toContain('lock.released');
  expect(stderr).toContain(`tag=migrate-lock:${events[0]?.instanceId}:${String(inner[0]?.instanceId)}`);
  await db.sql`DROP SCHEMA other CASCADE`;
});

/** `levels` nested runs on the same lock, around a command. */
const inside = (levels: number, command: string): string => `${'$RUN -- '.repeat(levels)}${command}`;

test.each([2, 5])('%d nested runs on the same lock use one lease', async (levels) => {
  const { code, events, stderr } = await nest(inside(levels, 'sh -c "exit 7"'));
  expect(code).toBe(7);
  const inherited = innerEvents(stderr).filter(({ event }) => event === 'lock.inherited');
  expect(inherited).toHaveLength(levels);
  for (const { holder } of inherited) expect(holder).toBe(events[0]?.instanceId);
});

test('runs at different depths take turns', async () => {
  const interval = '"$NODE" "$INTERVAL"';
  const { code, stderr } = await nest(
    `${inside(1, `sh -c '${inside(1, interval)} & ${inside(2, interval)} && wait $!'`)} & ${inside(2, interval)} && ` +
      `${inside(1, interval)} && wait $!`,
  );
  expect(stderr).not.toContain('exclusion constraint');
  expect(code).toBe(0);
  expect(await db.sql`SELECT FROM ran`).toHaveLength(4);
});

test('an inner run that is killed keeps its turn until its command is gone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-test-'));
  const deaf = `sh -c "trap '' TERM; echo DEAF=\\$\\$; touch \\"$FLAG\\"; while :; do sleep 0.1; done"`;
  const second = 'until [ -e "$FLAG" ]; do sleep 0.1; done; $RUN -- true';
  const run = start(`$RUN --kill-grace 2s -- ${deaf} & ${second}; wait`, [], { FLAG: join(folder, 'flag') });
  const [, deafPid] = await waitFor('the command', () => /^DEAF=(\d+)$/m.exec(run.stderr()));
  const turns = () => innerEvents(run.stderr()).filter(({ event }) => event === 'lock.inherited');
  signalProcess(Number(turns()[0]?.pid), 'SIGKILL');
  await waitFor('the second turn', () => turns().length === 2, { intervalMs: 2 });
  expect(isAlive(Number(deafPid))).toBe(false);
  const { code } = await run.done;
  rmSync(folder, { recursive: true });
  expect(code).toBe(0);
});

test('an extension in the innermost run moves all deadlines', async () => {
  const extend = 'sh -c "\\"$NODE\\" \\"$CLI\\" extend --ttl 1m && sleep 5"';
  const { code, events, stderr } = await nest(inside(3, extend), ['--ttl', '4s', '--kill-grace', '200ms']);
  expect(code).toBe(0);
  expect(events.filter(({ event }) => event === 'lease.extended')).toHaveLength(1);
  expect(innerEvents(stderr).map(({ event }) => event)).not.toContain('child.deadline');
});

test('a signal reaches the innermost command once, and all runs end with its result', async () => {
  const run = start(
    `exec ${inside(3, 'sh -c "trap \'echo TOLD; exit 3\' TERM; echo READY; while :; do sleep 0.1; done"')}`,
  );
  await waitFor('the command', () => run.stderr().includes('\nREADY'));
  run.kill('SIGTERM');
  const { code, stderr } = await run.done;
  expect(code).toBe(3);
  expect(stderr.match(/^TOLD$/gm)).toHaveLength(1);
});

test('nested runs on different locks extend and prove the lease that is named', async () => {
  const commands = [
    'extend --schema other --ttl 10m',
    'extend --schema migrate_lock --ttl 11m',
    'extend --ttl 12m',
  ];
  const inner = [...commands, 'assert', 'assert --schema other'].map((words) => `"$NODE" "$CLI" ${words}`);
  const { code, events, stderr } = await nest(
    `$RUN --schema other -- $RUN -- $RUN --schema third -- sh -c '${inner.join(' && ')}'`,
  );
  expect(stderr).not.toMatch(/not held/);
  expect(code).toBe(0);
  const extended = [...events, ...innerEvents(stderr)].filter(({ event }) => event === 'lease.extended');
  expect(extended.map((event) => [event.schema, 'ttlMs' in event && event.ttlMs])).toEqual([
    ['migrate_lock', 660_000],
    ['other', 600_000],
    ['third', 720_000],
  ]);
  await db.sql`DROP SCHEMA other CASCADE`;
  await db.sql`DROP SCHEMA third CASCADE`;
});

test('a lock that no outer run holds cannot be extended', async () => {
  const { code, stderr } = await nest('"$NODE" "$CLI" extend --schema another_lock --ttl 10m');
  expect(code).toBe(64);
  expect(stderr).toContain('No enclosing run holds the lock "another_lock".');
});

test('under the lease of the outermost run, inside of a run on another lock, the variables name that lease', async () => {
  const { code, events, stderr } = await nest(
    `$RUN --schema other -- $RUN -- sh -c 'echo "id=$MIGRATE_LOCK_INSTANCE_ID"; "$NODE" "$CLI" assert'`,
  );
  expect(code).toBe(0);
  expect(stderr).toContain(`\nid=${events[0]?.instanceId}\n`);
  await db.sql`DROP SCHEMA other CASCADE`;
});

test('leftover variables without a living holder have no effect: the run acquires the lock', async () => {
  const { code, events } = await startCli(['run', '--', 'true'], {
    env: { DATABASE_URL: db.url, MIGRATE_LOCK_SOCKET: '/nowhere/s', MIGRATE_LOCK_INSTANCE_ID: 'x' },
  }).done;
  expect(code).toBe(0);
  expect(events.map(({ event }) => event)).toContain('lock.acquired');
});
