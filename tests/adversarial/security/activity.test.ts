/** What an admitted role learns of the lease's database sessions, and of what blocks them. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { readActivity } from '../../../src/lock/activity.js';
import { LockCalls } from '../../../src/lock/calls.js';
import type { TestRole } from '../../support/database.js';
import { LIMIT_MS, openDatabase, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';
import { call, openStage, sqlState, type Stage } from './stage.js';

let stage: Stage;
let mine: LockCalls;
let instanceId: string;

beforeAll(async () => {
  stage = await openStage();
  mine = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
  ({
    me: { instanceId },
  } = await tryToAcquire(mine));
  await stage.db.sql.unsafe(`CREATE TABLE orders (id int); GRANT ALL ON orders TO PUBLIC`);
});
afterEach(async () => {
  await stage.db.sql`GRANT pg_read_all_stats TO ${stage.db.sql(stage.owner.name)}`;
});
afterAll(async () => {
  mine.database.disconnect();
  await stage.close();
});

async function session(role: TestRole, name: string, statement: string): Promise<number> {
  const sql: postgres.Sql = stage.as(role, name);
  const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  await sql.unsafe(statement);
  return row?.pid ?? 0;
}

const as = async (role: TestRole) => {
  const database = openDatabase(role.url);
  const activity = await readActivity(database, 'migrate_lock', LIMIT_MS);
  database.disconnect();
  return activity;
};

test('another admitted role learns pid, role, application and age of a blocker, and no statement', async () => {
  const blocker = await session(
    stage.stranger,
    'web',
    "BEGIN; LOCK TABLE orders; SELECT 'the blocker''s secret'",
  );
  const migration = stage.as(stage.child, `migrate-lock:${instanceId}`);
  const waiting = migration.unsafe("SELECT count(*), 'the migration''s secret' FROM orders");
  waiting.catch(() => undefined);
  // PostgreSQL reads sessions and locks one after the other: a session that has just started has no state, and may wait already.
  const told = await waitFor('it waits', async () => {
    const activity = await call<{
      sessions: { state: string | null; waiting: { blockers: object[] } | null }[];
    }>(stage.as(stage.other), 'activity', {});
    const [session] = activity.sessions;
    return session?.state === 'active' && session.waiting !== null ? activity : null;
  });
  expect(told.sessions).toHaveLength(1);
  expect(told.sessions[0]).toMatchObject({
    role: stage.child.name,
    state: 'active',
    waiting: { object: 'public.orders' },
  });
  expect(told.sessions[0]?.waiting?.blockers).toEqual([
    { pid: blocker, role: stage.stranger.name, application: 'web', openMs: expect.any(Number), isOwn: false },
  ]);
  expect(JSON.stringify(told)).not.toContain('secret');
  // Nor what its own rights do not show: the state of a blocker of another role, and the statement of another's session.
  expect((await as(stage.other))?.sessions).toMatchObject([
    { statement: null, waiting: { blockers: [{ pid: blocker, state: null }] } },
  ]);
  // The role itself sees its statement; the literals of it are not shown.
  expect((await as(stage.owner))?.sessions).toMatchObject([
    {
      statement: 'SELECT count(*), ? FROM orders',
      waiting: { blockers: [{ state: 'idle in transaction' }] },
    },
  ]);
  expect(await sqlState(call(stage.as(stage.stranger), 'activity', {}))).toBe('42501');
  expect(await sqlState(call(stage.as(stage.child), 'activity', {}))).toBe('42501');
  await stage.db.sql`SELECT pg_terminate_backend(${blocker})`;
  await waiting;
});

test('a session of a role that has nothing to do with the lease is not shown, whatever its name', async () => {
  const stranger = await session(
    stage.stranger,
    `migrate-lock:${instanceId}`,
    "SELECT 'a stranger''s secret'",
  );
  const other = await session(stage.other, `migrate-lock:${instanceId}`, "SELECT 'another''s secret'");
  const own = await session(stage.app, `migrate-lock:${instanceId}`, 'BEGIN');
  const pids = (await as(stage.app))?.sessions.map(({ pid }) => pid) ?? [];
  expect(pids).toContain(own);
  expect(pids).not.toContain(stranger);
  expect(pids).not.toContain(other);
  // Not even by the right to see them.
  expect(JSON.stringify(await as(stage.owner))).not.toContain('secret');
});

test('where the owner may not see what sessions do, a role sees its own, and the rest is hidden', async () => {
  await stage.db.sql`REVOKE pg_read_all_stats FROM ${stage.db.sql(stage.owner.name)}`;
  const own = await session(stage.app, `migrate-lock:${instanceId}`, "BEGIN; SELECT 'secret'");
  const childs = await session(stage.child, `migrate-lock:${instanceId}`, "BEGIN; SELECT 'secret'");
  const seen = (await as(stage.app))?.sessions ?? [];
  expect(seen.find(({ pid }) => pid === own)).toMatchObject({
    state: 'idle in transaction',
    statement: 'BEGIN; SELECT ?',
  });
  expect(seen.find(({ pid }) => pid === childs)).toMatchObject({
    ...{ role: stage.child.name, state: null, stateMs: null, openMs: null, statement: null },
  });
});
