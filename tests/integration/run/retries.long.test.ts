/** `--retries`: a command that failed is started again under the same lease, while there is time. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { MigrateLockEvent } from '../../../src/events/events.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import {
  assertNothingLeft,
  runCli,
  startCli,
  type CliOptions,
  type RunningCli,
} from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let folder: string;
let tries: string;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'retries-'));
  tries = join(folder, 'tries');
  writeFileSync(tries, '');
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await assertNothingLeft();
});
afterAll(() => db.drop());

/** Runs a line of the shell. `$TRIES` is a file with a line for each try so far. */
function start(line: string, options: string[], given: CliOptions = {}): RunningCli {
  const script = `echo x >> "$TRIES"; n=$(wc -l < "$TRIES"); ${line}`;
  return startCli(['run', ...options, '--', 'sh', '-c', script], {
    ...given,
    env: { DATABASE_URL: db.url, TRIES: tries, ...given.env },
  });
}
const triesMade = () => readFileSync(tries, 'utf8').length / 2;
const named = (events: readonly MigrateLockEvent[], name: string) =>
  events.filter(({ event }) => event === name);
const atMs = ({ time }: { time: string }) => Date.parse(time);

test('without the option a command is started once', async () => {
  expect((await start('exit 3', []).done).code).toBe(3);
  expect(triesMade()).toBe(1);
});

test('a command that fails is started again after 1 s and 2 s, under the same lease', async () => {
  const { code, events, stderr } = await start('[ $n = 3 ] || exit 3', ['--retries', '2']).done;
  expect(code).toBe(0);
  expect(triesMade()).toBe(3);
  expect(named(events, 'lock.acquired')).toHaveLength(1);
  expect(named(events, 'lock.released')).toHaveLength(1);
  const retries = named(events, 'child.retry');
  expect(retries).toMatchObject([
    { retry: 1, retries: 2, exitCode: 3, signal: null, isCutOff: false },
    { retry: 2, retries: 2, exitCode: 3 },
  ]);
  const starts = named(events, 'child.started');
  const exits = named(events, 'child.exited');
  for (const [n, pauseMs] of [1_000, 2_000].entries()) {
    const [exit, begin, retry] = [exits[n], starts[n + 1], retries[n]];
    if (exit === undefined || begin === undefined || retry?.event !== 'child.retry')
      throw new Error('no try');
    expect(retry.delayMs).toBeGreaterThanOrEqual(pauseMs * 0.75);
    expect(retry.delayMs).toBeLessThanOrEqual(pauseMs * 1.25);
    expect(atMs(begin) - atMs(exit)).toBeGreaterThan(retry.delayMs - 20);
    expect(atMs(begin) - atMs(exit)).toBeLessThan(retry.delayMs + 1_000);
  }
  expect(stderr).toMatch(/the command is started again in \S+ \(retry 1 of 2\)/);
});

test('the last try counts: its exit code is that of the run, and is stored with --once', async () => {
  const options = ['--retries', '1', '--once', 'a'];
  const { code } = await start('[ $n -gt 2 ] || exit $((n + 2))', options).done;
  expect(code).toBe(4);
  const [row] =
    await db.sql`SELECT succeeded, exit_code FROM migrate_lock.migration_lock_run WHERE run_key = 'a'`;
  expect(row).toEqual({ succeeded: false, exit_code: 4 });
  expect((await start('[ $n -gt 2 ] || exit $((n + 2))', options).done).code).toBe(0);
  const [after] = await db.sql`SELECT succeeded FROM migrate_lock.migration_lock_run WHERE run_key = 'a'`;
  expect(after).toEqual({ succeeded: true });
});

test('no retry is made when the time that is left is shorter than the last try', async () => {
  // It has 6.5 s: 0.5 s for the grace, the rest for the margins. A second try of 3 s after a second would not be done in time.
  const { code, events } = await start('sleep 3; exit 3', [
    '--retries',
    '5',
    '--ttl',
    '7s',
    '--kill-grace',
    '500ms',
  ]).done;
  expect(code).toBe(3);
  expect(triesMade()).toBe(1);
  expect(named(events, 'child.deadline')).toEqual([]);
});

test('the deadline is that of the lease, not of the try', async () => {
  const times = ['--retries', '5', '--ttl', '6s', '--kill-grace', '500ms'];
  const { code, events } = await start('[ $n = 1 ] && exit 3; sleep 60', times).done;
  expect(code).toBe(124);
  expect(triesMade()).toBe(2);
  const [acquired] = named(events, 'lock.acquired');
  const [deadline] = named(events, 'child.deadline');
  if (acquired === undefined || deadline === undefined) throw new Error('no deadline');
  expect(atMs(deadline) - atMs(acquired)).toBeLessThan(6_000 - 500);
});

describe('what ends the retries', () => {
  test('a signal that the command got', async () => {
    const run = start('trap "exit 3" TERM; echo x >> "$TRIES"; sleep 60 & wait', ['--retries', '5']);
    await run.waitForEvent('child.started');
    await waitFor('the command runs', () => triesMade() === 2);
    run.kill('SIGTERM');
    const { code, events } = await run.done;
    expect(code).toBe(3);
    expect(named(events, 'child.retry')).toEqual([]);
  });

  test('a signal during the pause: the run ends as the last try did', async () => {
    const run = start('exit 3', ['--retries', '5']);
    await run.waitForEvent('child.retry');
    run.kill('SIGTERM');
    const { code, events } = await run.done;
    expect(code).toBe(3);
    expect(triesMade()).toBe(1);
    expect(named(events, 'lock.released')).toHaveLength(1);
  });

  test.each(['kill -KILL $$', 'exit 137'])('a command that a signal has ended (%s)', async (line) => {
    const { code } = await start(line, ['--retries', '5']).done;
    expect(code).toBe(137);
    expect(triesMade()).toBe(1);
  });

  test('an unlock during the pause: the command is not started again', async () => {
    const run = start('exit 3', ['--retries', '5']);
    const { instanceId } = await run.waitForEvent('child.retry');
    const unlock = await runCli(['unlock', '--instance', instanceId, '--force', '--yes'], {
      auditOnly: false,
      env: { DATABASE_URL: db.url },
    });
    expect(unlock.code).toBe(0);
    expect((await run.done).code).toBe(70);
    expect(triesMade()).toBe(1);
  });
});

test('the next try does not start before what the last one has left in the database has ended', async () => {
  // psql is not needed: the client ends at once, and its statement goes on in the server.
  const client = `import postgres from 'postgres';
    postgres(process.env.DIRECT_URL, { fetch_types: false }).unsafe('SELECT pg_sleep(60)').catch(() => {});
    setTimeout(() => process.exit(3), 500);`;
  const look = `import postgres from 'postgres';
    const sql = postgres(process.env.DIRECT_URL, { fetch_types: false, connection: { application_name: 'look' } });
    const rows = await sql.unsafe("SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migrate-lock:%'");
    process.exit(rows.length === 0 ? 0 : 9);`;
  const node = '"$NODE" --input-type=module -e';
  const run = start(`if [ $n = 1 ]; then ${node} "$CLIENT"; else ${node} "$LOOK"; fi`, ['--retries', '1'], {
    env: { NODE: process.execPath, CLIENT: client, LOOK: look, DIRECT_URL: db.url },
  });
  expect((await run.done).code).toBe(0);
  expect(triesMade()).toBe(2);
});

describe('a stdin that a second try could not read again', () => {
  test.each([
    ['--retries', '1'],
    ['--max-block', '1s'],
  ])('%s %s is refused', async (...options) => {
    const { code, stderr } = await start('cat', options, { input: 'SELECT 1', auditOnly: false }).done;
    expect(code).toBe(64);
    expect(stderr).toContain('cannot be started again');
    expect(triesMade()).toBe(0);
  });

  test('--max-block with --retries 0 is not', async () => {
    const { code } = await start('[ "$(cat)" = a ]', ['--max-block', '1s', '--retries', '0'], { input: 'a' })
      .done;
    expect(code).toBe(0);
  });

  test('/dev/null is allowed', async () => {
    expect((await start('true', ['--max-block', '1s']).done).code).toBe(0);
  });
});
