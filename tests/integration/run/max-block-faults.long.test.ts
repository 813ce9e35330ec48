/** `--max-block` where something is missing: the connection, a right, an answer. It never delays a deadline or a release. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { MigrateLockEvent } from '../../../src/events/events.js';
import { createDatabase, serverUrl, type TestDatabase, type TestRole } from '../../support/database.js';
import { hasPooler, startPooler } from '../../support/pooler.js';
import { signalProcess } from '../../support/processes.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli, type RunningCli } from '../../support/run-cli.js';
import { startStatements, STATEMENTS_PROGRAM } from '../../support/statements.js';
import { openTransaction, sendStatement } from '../../support/traffic.js';
import { waitFor } from '../../support/wait-for.js';

const LOCKED = ['BEGIN', 'LOCK TABLE orders', 'SELECT pg_sleep(60)'];

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(async () => {
  await db.sql`DROP TABLE IF EXISTS orders`;
  await db.sql`CREATE TABLE orders (id serial PRIMARY KEY)`;
});
afterEach(assertNothingLeft);
afterAll(() => db.drop());

interface Given {
  options?: string[];
  /** Of migrate-lock; and of the command. */
  url?: string;
  commandUrl?: string;
}

function start(
  statements: (string | number)[],
  { options = [], url = db.url, commandUrl = url }: Given = {},
): RunningCli {
  const own = ['--max-block', '500ms', '--retries', '0', ...options];
  return startStatements(statements, { url, commandUrl, options: own, env: { ON_ERROR_STOP: '1' } });
}
async function untilLocked(): Promise<void> {
  await waitFor('orders is locked', async () => {
    const [row] = await db.sql`
      SELECT FROM pg_locks
       WHERE granted AND mode = 'AccessExclusiveLock' AND relation = 'orders'::regclass AND pid <> pg_backend_pid()`;
    return row !== undefined;
  });
}
/** The session that looks; it is idle between two looks. */
function watcher(): Promise<number> {
  return waitFor('the session that looks', async () => {
    const [row] = await db.sql<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity
       WHERE application_name = 'migrate-lock' AND state = 'idle' AND query LIKE '%''isCut''%' AND datname = ${db.name}`;
    return row?.pid;
  });
}
const named = (events: readonly MigrateLockEvent[], name: string) =>
  events.filter(({ event }) => event === name);

test('a lost connection is one warning; the next one protects again', async () => {
  const run = start([4_000, ...LOCKED]);
  for (let n = 0; n < 3; n++) {
    const pid = await watcher();
    await db.sql`SELECT pg_terminate_backend(${pid})`;
    await waitFor(
      'it has ended',
      async () => (await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid}`).length === 0,
    );
  }
  await untilLocked();
  await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  const { code, events, stderr } = await run.done;
  expect(code).toBe(3);
  expect(named(events, 'database.blocking')).toMatchObject([{ action: 'cancelled' }]);
  expect(named(events, 'database.unavailable')).toHaveLength(1);
  expect(stderr).toContain('which sessions wait for the command is not known');
});

test('a read that hangs delays neither the release nor the deadline', async () => {
  const run = start([700]);
  const pid = await watcher();
  signalProcess(pid, 'SIGSTOP');
  try {
    const { code, events } = await run.done;
    expect(code).toBe(0);
    const [exited] = named(events, 'child.exited');
    const [released] = named(events, 'lock.released');
    expect(Date.parse(released?.time ?? '') - Date.parse(exited?.time ?? '')).toBeLessThan(500);
  } finally {
    signalProcess(pid, 'SIGCONT');
  }

  const second = start([60_000], { options: ['--ttl', '6s', '--kill-grace', '500ms'] });
  const started = await second.waitForEvent('child.started');
  const next = await watcher();
  signalProcess(next, 'SIGSTOP');
  try {
    const deadline = await second.waitForEvent('child.deadline');
    expect(Math.abs(Date.parse(deadline.time) - Date.parse(started.time) - started.deadlineMs)).toBeLessThan(
      250,
    );
    expect((await second.done).code).toBe(124);
  } finally {
    signalProcess(next, 'SIGCONT');
  }
});

test('another instance does not count the session that reads as an orphan of the lease', async () => {
  const run = start([60_000], { options: ['--ttl', '4s', '--kill-grace', '100ms'] });
  const pid = await watcher();
  run.kill('SIGSTOP');
  const next = await runCli(['run', '--', 'true'], { env: { DATABASE_URL: db.url } });
  expect(next.code).toBe(0);
  expect(named(next.events, 'lock.takeover')).toHaveLength(1);
  expect(await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid}`).toHaveLength(1);
  run.kill('SIGCONT');
  await run.done;
});

describe('refused with 64', () => {
  (hasPooler ? test : test.skip)('behind a pooler (skipped where PgBouncer is not installed)', async () => {
    const pooler = await startPooler(serverUrl());
    try {
      const { code, events, stderr } = await start(['SELECT 1'], { url: pooler.through(db.url) }).done;
      expect(code).toBe(64);
      expect(stderr).toContain('pooler');
      expect(named(events, 'child.started')).toEqual([]);
      expect(named(events, 'lock.acquired')).toEqual([]);
    } finally {
      await pooler.stop();
    }
  });

  const nested = (outer: string[]) =>
    startCli(['run', ...outer, '--', 'sh', '-c', '"$NODE" "$CLI" run --max-block 1s --retries 0 -- true'], {
      env: { DATABASE_URL: db.url, NODE, CLI },
    }).done;

  test('inside a run that does not watch', async () => {
    const { code, stderr } = await nested([]);
    expect(code).toBe(64);
    expect(stderr).toContain('Give --max-block to the outer run');
    expect((await nested(['--max-block', '1s', '--retries', '0'])).code).toBe(0);
  });

  test('not below a run that does not watch, inside one that does', async () => {
    const { code } = await startCli(
      [
        ...['run', '--max-block', '1s', '--retries', '0', '--', 'sh', '-c'],
        '"$NODE" "$CLI" run -- "$NODE" "$CLI" run --max-block 1s --retries 0 -- true',
      ],
      { env: { DATABASE_URL: db.url, NODE, CLI } },
    ).done;
    expect(code).toBe(0);
  });

  test.each([
    ['--max-block', '0'],
    ['--max-block', 'soon'],
    ['--retries', '-1'],
    ['--retries', '21'],
  ])('%s %s', async (option, value) => {
    const run = await runCli(['run', `${option}=${value}`, '--', 'true'], { env: { DATABASE_URL: db.url } });
    expect(run.code).toBe(64);
  });
});

test('a run inside it is watched too', async () => {
  const inner = `"$NODE" "$CLI" run -- "$NODE" "${STATEMENTS_PROGRAM}"`;
  const run = startCli(['run', '--max-block', '500ms', '--retries', '0', '--', 'sh', '-c', inner], {
    env: {
      DATABASE_URL: db.url,
      DIRECT_URL: db.url,
      NODE,
      CLI,
      STATEMENTS: JSON.stringify(LOCKED),
      ON_ERROR_STOP: '1',
    },
  });
  await untilLocked();
  await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  const { code, events } = await run.done;
  expect(code).toBe(3);
  expect(named(events, 'database.blocking')).toMatchObject([{ action: 'cancelled' }]);
});

test.each(['run', 'run -- "$NODE" "$CLI" run'])(
  'a run inside it (%s) whose command goes on after the cancellation does not exit with 0',
  async (words) => {
    const inner = `"$NODE" "$CLI" ${words} -- "$NODE" "${STATEMENTS_PROGRAM}"; echo "inner: $?" >&2`;
    const run = startCli(['run', '--max-block', '500ms', '--retries', '0', '--', 'sh', '-c', inner], {
      env: { DATABASE_URL: db.url, DIRECT_URL: db.url, NODE, CLI, STATEMENTS: JSON.stringify(LOCKED) },
    });
    await untilLocked();
    await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
    const { code, stderr } = await run.done;
    expect(stderr).toContain('inner: 74');
    expect(code).toBe(74);
  },
);

test('nor does one whose check was ended, and exits with 0: it says nothing', async () => {
  const inner = `"$NODE" "$CLI" run --check 'exec "$NODE" "$PROGRAM"' -- sh -c 'exit 9'; echo "inner: $?" >&2`;
  const run = startCli(['run', '--max-block', '500ms', '--retries', '0', '--', 'sh', '-c', inner], {
    env: {
      ...{ DATABASE_URL: db.url, DIRECT_URL: db.url, NODE, CLI, PROGRAM: STATEMENTS_PROGRAM },
      STATEMENTS: JSON.stringify(LOCKED),
    },
  });
  // The check is run once before the inner run has its turn, and once more then.
  for (let n = 0; n < 2; n++) {
    await untilLocked();
    await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
  }
  expect((await run.done).stderr).toContain('inner: 74');
});

describe('in a hardened lock', () => {
  let owner: TestRole;
  let login: TestRole;
  let child: TestRole;

  beforeAll(async () => {
    [owner, login, child] = await Promise.all([db.createRole(), db.createRole(), db.createRole()]);
    await db.sql.unsafe(`GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}`);
    const init = ['init', '--schema', 'hard', '--grant-to', login.name, '--child-role', child.name];
    expect((await runCli(init, { env: { DATABASE_URL: owner.url }, auditOnly: false })).code).toBe(0);
  });
  beforeEach(async () => {
    await db.sql.unsafe(`GRANT ALL ON orders TO ${login.name}, ${child.name}`);
  });
  afterAll(() =>
    db.sql.unsafe(
      `DROP SCHEMA IF EXISTS hard CASCADE; REVOKE CREATE ON DATABASE ${db.name} FROM ${owner.name}`,
    ),
  );

  /** What was done about a session of the command that has the table locked. */
  async function outcome(
    commandUrl: string,
    url = login.url,
  ): Promise<{ first: MigrateLockEvent | undefined; stderr: string }> {
    const run = start(LOCKED, { url, commandUrl, options: ['--schema', 'hard'] });
    await untilLocked();
    const writer = sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES');
    const first = await run.waitForEvent('database.blocking');
    if (first.action === 'reported') run.kill('SIGKILL'); // its guard ends the command
    const { stderr, events } = await run.done;
    await db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)'`;
    await writer.waitedMs;
    expect(named(events, 'database.blocking')).toHaveLength(1);
    return { first, stderr };
  }

  test("a session of the holder's login is cancelled with the rights of that login", async () => {
    expect((await outcome(login.url)).first).toMatchObject({ action: 'cancelled', role: login.name });
  });

  test('as a login that becomes the owner of the lock by SET ROLE and inherits nothing', async () => {
    const acting = await db.createRole('NOINHERIT');
    await db.sql.unsafe(`
      GRANT ${owner.name} TO ${acting.name}; ALTER ROLE ${acting.name} SET role = ${owner.name};
      GRANT ALL ON orders TO ${owner.name}; GRANT pg_read_all_stats TO ${owner.name}`);
    const { first } = await outcome(acting.url, acting.url);
    expect(first).toMatchObject({ action: 'cancelled', role: acting.name });
    await db.sql.unsafe(`REVOKE pg_read_all_stats FROM ${owner.name}`);
  });

  test('a session of a child role: hidden, then denied, then cancelled with the rights of the owner', async () => {
    const hidden = await outcome(child.url);
    expect(hidden.first).toMatchObject({ action: 'reported', reason: 'hidden', statement: null });
    expect(hidden.stderr).toContain('GRANT pg_read_all_stats');
    await db.sql.unsafe(`GRANT pg_read_all_stats TO ${login.name}`);
    const denied = await outcome(child.url);
    expect(denied.first).toMatchObject({ action: 'reported', reason: 'denied', role: child.name });
    expect(denied.stderr).toContain('pg_signal_backend');
    await db.sql.unsafe(`GRANT ${child.name} TO ${owner.name}`);
    expect((await outcome(child.url)).first).toMatchObject({ action: 'cancelled', role: child.name });
  });

  test('a session of another role that bears the name of the lease is not touched', async () => {
    const stranger = await db.createRole();
    await db.sql.unsafe(`GRANT ALL ON orders TO ${stranger.name}`);
    const run = start([3_000], { url: login.url, options: ['--schema', 'hard'] });
    const { instanceId } = await run.waitForEvent('child.started');
    const url = new URL(stranger.url);
    url.searchParams.set('application_name', `migrate-lock:${instanceId}`);
    const other = await openTransaction(
      url.href,
      `SET application_name = 'migrate-lock:${instanceId}'`,
      'LOCK TABLE orders',
    );
    const writer = sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES');
    const { code, events } = await run.done;
    expect(code).toBe(0);
    expect(named(events, 'database.blocking')).toEqual([]);
    await other.end();
    await writer.waitedMs;
  });
});
