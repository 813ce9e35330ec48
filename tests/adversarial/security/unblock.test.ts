/** Who may cancel or end a session for `--max-block`, which session, and when. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { readBlocking, unblock, type BlockingSession } from '../../../src/lock/blocking.js';
import { LockCalls } from '../../../src/lock/calls.js';
import type { Identity } from '../../../src/lock/lease.js';
import type { TestRole } from '../../support/database.js';
import { LIMIT_MS, openDatabase, tryToAcquire } from '../../support/lock.js';
import { sendStatement } from '../../support/traffic.js';
import { waitFor } from '../../support/wait-for.js';
import { call, openStage, sqlState, type Stage } from './stage.js';

let stage: Stage;
let mine: LockCalls;
let me: Identity;

beforeAll(async () => {
  stage = await openStage();
  mine = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
});
beforeEach(async () => {
  await stage.db.sql.unsafe(
    'DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int); GRANT ALL ON orders TO PUBLIC',
  );
  ({ me } = await tryToAcquire(mine));
});
afterAll(async () => {
  mine.database.disconnect();
  await stage.close();
});

/** Ends the blocker of the test, and lets the one that waits for it go on. */
let cleanUp: () => Promise<void> = () => Promise.resolve();
afterEach(() => cleanUp());

interface Blocker {
  sql: postgres.Sql;
  pid: number;
  waiter: number;
}

/** A session in a transaction that has the table locked, and another client that waits for it. */
async function block(role: TestRole, name: string): Promise<Blocker> {
  const sql = stage.as(role, name);
  await sql.unsafe('BEGIN; LOCK TABLE orders');
  const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  const writer = sendStatement(stage.db.url, 'INSERT INTO orders VALUES (1)');
  const waiter = await waitFor('a writer waits', async () => {
    const [found] = await stage.db.sql<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'INSERT INTO orders VALUES (1)' AND wait_event_type = 'Lock'`;
    return found?.pid;
  });
  const pid = row?.pid ?? 0;
  cleanUp = async () => {
    await stage.db.sql`SELECT pg_terminate_backend(${pid})`;
    await writer.waitedMs;
    await mine.release(me);
  };
  return { sql, pid, waiter };
}
const ofLease = () => block(stage.child, `migrate-lock:${me.instanceId}`);
const lives = async (pid: number) =>
  (await stage.db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid}`).length > 0;

async function ask(
  role: TestRole,
  blocker: Pick<Blocker, 'pid' | 'waiter'>,
  changed: Record<string, unknown> = {},
): Promise<string> {
  const given = {
    ...{ p_instance_id: me.instanceId, p_secret: me.secret, p_pid: blocker.pid, p_waiter: blocker.waiter },
    ...{ p_waited_ms: 0, p_how: 'terminate', ...changed },
  };
  return (await call<{ outcome: string }>(stage.as(role), 'unblock', given)).outcome;
}

test('only the holder ends a session of its lease, by its secret and its role', async () => {
  const blocker = await ofLease();
  expect(await ask(stage.other, blocker)).toBe('refused');
  expect(await ask(stage.app, blocker, { p_secret: 'a guess' })).toBe('refused');
  expect(await ask(stage.app, blocker, { p_instance_id: 'another' })).toBe('refused');
  expect(await sqlState(ask(stage.stranger, blocker))).toBe('42501');
  expect(await sqlState(ask(stage.child, blocker))).toBe('42501');
  expect(await sqlState(ask(stage.app, blocker, { p_how: 'drop' }))).toBe('ML001');
  expect(await lives(blocker.pid)).toBe(true);
  expect(await ask(stage.app, blocker)).toBe('ended');
  await waitFor('it has ended', async () => !(await lives(blocker.pid)));
});

test('only a session that is in the way, of one that has waited for so long', async () => {
  const blocker = await ofLease();
  expect(await ask(stage.app, blocker, { p_waiter: 1 })).toBe('passed');
  expect(await ask(stage.app, { pid: blocker.waiter, waiter: blocker.pid })).toBe('passed');
  const [version] = await stage.db.sql<
    { number: number }[]
  >`SELECT current_setting('server_version_num')::int AS number`;
  if (Number(version?.number) >= 140_000)
    expect(await ask(stage.app, blocker, { p_waited_ms: 60_000 })).toBe('passed');
  expect(await lives(blocker.pid)).toBe(true);
});

const OTHERS: [string, () => TestRole, () => string][] = [
  [
    'of a role that has nothing to do with the lease, with its name',
    () => stage.stranger,
    () => `migrate-lock:${me.instanceId}`,
  ],
  ["of the lease's role, without its name", () => stage.app, () => 'web'],
];
test.each(OTHERS)('no session %s', async (_, role, name) => {
  const blocker = await block(role(), name());
  expect(await ask(stage.app, blocker)).toBe('passed');
  expect(await lives(blocker.pid)).toBe(true);
});

test('not after the end of the lease', async () => {
  const blocker = await ofLease();
  await stage.db
    .sql`UPDATE migrate_lock.migration_lock SET locked_at = clock_timestamp() - interval '1 minute', expires_at = clock_timestamp()`;
  expect(await ask(stage.app, blocker)).toBe('refused');
  const settle = { p_instance_id: me.instanceId, p_secret: me.secret, p_orphans: 'terminate', p_seen: null };
  expect(await call(stage.as(stage.app), 'settle', settle)).toEqual({ outcome: 'refused' });
  expect(await call(stage.as(stage.other), 'settle', settle)).toEqual({ outcome: 'refused' });
  expect(await lives(blocker.pid)).toBe(true);
});

test('a session that has moved on is left alone, unless it is in the same transaction', async () => {
  // Our login sees the statements of its own sessions.
  const blocker = await block(stage.app, `migrate-lock:${me.instanceId}`);
  const seen = await readBlocking(mine.database, 'migrate_lock', LIMIT_MS);
  const [session] = seen?.sessions ?? [];
  const [wait] = seen?.waits ?? [];
  if (session === undefined || wait === undefined) throw new Error('nothing is in the way');
  expect(wait).toMatchObject({ head: blocker.pid, pid: blocker.waiter, object: 'public.orders' });
  const end = (as: BlockingSession): Promise<string> =>
    unblock(
      mine.database,
      'migrate_lock',
      me,
      { session: as, wait, waitedMs: 0, how: 'terminate' },
      LIMIT_MS,
    );
  const before = { queryStart: '1', xactStart: '1' };
  expect(await end({ ...session, ...before })).toBe('passed');
  await blocker.sql.unsafe('SELECT 1');
  expect(await end({ ...session, xactStart: '1' })).toBe('passed');
  expect(await lives(blocker.pid)).toBe(true);
  expect(await end(session)).toBe('ended');
});
