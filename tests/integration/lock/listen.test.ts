import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { MigrationLock } from '../../../src/index.js';
import type { Attempt } from '../../../src/lock/answers.js';
import type { LockCalls } from '../../../src/lock/calls.js';
import { describeThisProcess, newIdentity, type Identity } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { LIMIT_MS, openLock, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const HOURS = 10;

/** A holder that has held the lock for so long that a lone waiter's next poll is an hour away. */
async function holdForHours(): Promise<MigrationLock> {
  const holder = new MigrationLock({ connection: db.url, ttlMs: 3_600_000 });
  expect(await holder.acquire()).toBe(true);
  await db.sql`UPDATE migrate_lock.migration_lock SET locked_at = locked_at - ${HOURS} * interval '1 hour'`;
  return holder;
}

function makeWaiter(options: { listen?: boolean; pollIntervalMs?: number } = {}): MigrationLock {
  return new MigrationLock({
    connection: db.url,
    waitTimeoutMs: 7_200_000,
    pollIntervalMs: 3_600_000,
    ...options,
  });
}

/** The sessions that wait for a notification: migrate-lock's, and idle. */
async function listeners(): Promise<number[]> {
  const rows = await db.sql<{ pid: number }[]>`
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'migrate-lock' AND wait_event = 'ClientRead'`;
  return rows.map(({ pid }) => pid);
}

async function countWaiters(): Promise<{ waiting: number; listening: number }> {
  const [row] = await db.sql<{ waiting: number; listening: number }[]>`
    SELECT count(*)::int AS waiting, count(*) FILTER (WHERE listens)::int AS listening
      FROM migrate_lock.migration_lock_waiter`;
  return row ?? { waiting: 0, listening: 0 };
}

async function poll(lock: LockCalls, me: Identity): Promise<Attempt> {
  const answer = await lock.poll(me, describeThisProcess(null), {
    ttlMs: 30_000,
    pollIntervalMs: 1_000,
    isLast: false,
    limitMs: LIMIT_MS,
    respect: null,
    orphans: null,
    listens: true,
  });
  if (answer === null) throw new Error('there is no lock schema');
  return answer;
}

async function asksToListen(lock: LockCalls, me: Identity): Promise<boolean> {
  const answer = await poll(lock, me);
  return answer.outcome === 'held' && answer.listens;
}

test('a listening waiter notices a release at once, however far away its next poll is', async () => {
  const holder = await holdForHours();
  const waiter = makeWaiter();
  const waiting = waiter.wait();
  await waitFor('it to listen', async () => (await countWaiters()).listening === 1);
  expect(await holder.release()).toBe(true);
  expect((await waiting).fencingToken).toBe(2);
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_waiter`).toHaveLength(0);
  await waiter.release();
});

test('an instance that acquires has no session state left', async () => {
  const lock = await openLock(db.url);
  const { me: first } = await tryToAcquire(lock);
  const me = newIdentity();
  const channels = () =>
    lock.database.call({
      name: 'channels',
      statement: 'SELECT to_jsonb(count(*)) AS answer FROM pg_listening_channels()',
      parameters: [],
      limitMs: LIMIT_MS,
    });
  expect(await asksToListen(lock, me)).toBe(true);
  expect(await channels()).toBe(1);
  await lock.release(first);
  expect(await poll(lock, me)).toMatchObject({ outcome: 'acquired' });
  expect(await channels()).toBe(0);
  lock.database.disconnect();
});

test('only the first few waiters are notified', async () => {
  const holder = await openLock(db.url);
  await tryToAcquire(holder);
  const locks = await Promise.all(Array.from({ length: 7 }, () => openLock(db.url)));
  const waiters = locks.map((lock) => {
    const me = newIdentity();
    return { ask: () => asksToListen(lock, me), leave: () => lock.leave(me, LIMIT_MS) };
  });
  const granted: boolean[] = [];
  for (const { ask } of waiters) granted.push(await ask());
  expect(granted).toEqual([true, true, true, true, false, false, false]);
  const [first, second, , , , sixth] = waiters;
  // A waiter with a place keeps it, and one that leaves makes room.
  expect([await first?.ask(), await sixth?.ask()]).toEqual([true, false]);
  await second?.leave();
  expect(await sixth?.ask()).toBe(true);
  expect(await countWaiters()).toEqual({ waiting: 6, listening: 4 });
  [holder, ...locks].forEach(({ database }) => database.disconnect());
});

test('a waiter that does not listen holds no connection', async () => {
  const holder = await holdForHours();
  const over = new AbortController();
  const waiting = new MigrationLock({
    connection: db.url,
    waitTimeoutMs: 7_200_000,
    pollIntervalMs: 3_600_000,
    listen: false,
    signal: over.signal,
  }).wait();
  const held = (await db.clients()).length;
  await waitFor('it to wait', async () => (await countWaiters()).waiting === 1);
  await waitFor('it to let go', async () => (await db.clients()).length <= held);
  expect((await countWaiters()).listening).toBe(0);
  over.abort(new Error('enough'));
  await waiting.catch(() => undefined);
  await holder.release();
});

test('a waiter that lost its connection finds the lock free at its next poll', async () => {
  const holder = new MigrationLock({ connection: db.url });
  expect(await holder.acquire()).toBe(true);
  const waiter = makeWaiter({ pollIntervalMs: 1_000 });
  const waiting = waiter.wait();
  await waitFor('it to listen', async () => (await countWaiters()).listening === 1);
  const [holding] = await db.sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  await db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE pid = ANY (${await listeners()}) AND pid <> ${holding?.pid ?? 0}`;
  expect(await holder.release()).toBe(true);
  expect((await waiting).fencingToken).toBe(2);
  await waiter.release();
});
