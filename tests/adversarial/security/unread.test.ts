import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { LockCalls } from '../../../src/lock/calls.js';
import { newIdentity } from '../../../src/lock/lease.js';
import type { TestRole } from '../../support/database.js';
import { openDatabase, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';
import { openStage, sqlState, type Stage } from './stage.js';
import { openUnread, type UnreadSession } from './unread.js';

/** A client that does not read the server's answer keeps its session waiting, with every lock of it. */

let stage: Stage;
let lock: LockCalls;
let other: LockCalls;
let unread: UnreadSession[] = [];

beforeAll(async () => {
  stage = await openStage();
  lock = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
  other = new LockCalls(openDatabase(stage.other.url), 'migrate_lock');
});
afterEach(async () => {
  for (const session of unread) session.close();
  const pids = unread.map(({ pid }) => pid);
  unread = [];
  await stage.db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY (${pids})`;
});
afterAll(async () => {
  lock.database.disconnect();
  other.database.disconnect();
  await stage.close();
});

async function open(role: TestRole, settings = 'SELECT 1'): Promise<UnreadSession> {
  const session = await openUnread(role, settings);
  unread.push(session);
  return session;
}

const isStuck = async ({ pid }: UnreadSession) =>
  (
    await stage.db.sql`
      SELECT FROM pg_stat_activity WHERE pid = ${pid} AND wait_event = 'ClientWrite'`
  ).length === 1;

/** Another role gets the lock within two seconds, as if the client did not exist. */
async function otherAcquires(): Promise<void> {
  const me = newIdentity();
  const isAcquired = async () => (await tryToAcquire(other, { me })).answer.outcome === 'acquired';
  await waitFor('another role acquires', isAcquired, { limitMs: 2_000 });
  expect(await other.release(me)).toMatchObject({ outcome: 'released' });
}

async function lease(ttlMs = 30_000) {
  const { me, answer } = await tryToAcquire(lock, { ttlMs });
  if (answer.outcome !== 'acquired') throw new Error('not acquired');
  return { me, token: answer.lease.fencingToken };
}

describe('kid, a child role, which may only call assert_held()', () => {
  test('an id of 30 MB is not sent back', async () => {
    const { me } = await lease();
    await lock.release(me);
    const kid = stage.as(stage.child);
    const error: unknown = await kid`SELECT migrate_lock.assert_held(${'x'.repeat(30_000_000)}, 1)`.catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code: '55000' });
    expect(JSON.stringify({ ...(error as object) }).length).toBeLessThan(2_000);
  }, 60_000);

  test('a call with an id of 30 MB whose answer is not read leaves the free lock free', async () => {
    const { me } = await lease();
    await lock.release(me);
    const kid = await open(stage.child);
    kid.send(`SELECT migrate_lock.assert_held('${'x'.repeat(30_000_000)}', 1)`);
    await otherAcquires();
  }, 60_000);

  test.each([
    ['', (id: string, token: number) => `SELECT migrate_lock.assert_held('${id}', ${token})`],
    [
      'in a transaction',
      (id: string, token: number) => `BEGIN; SELECT migrate_lock.assert_held('${id}', ${token}); COMMIT`,
    ],
    [
      'of a wrong token',
      (id: string, token: number) => `SELECT migrate_lock.assert_held('${id}', ${token + 1})`,
    ],
    [
      'of another id',
      (_: string, token: number) => `SELECT migrate_lock.assert_held('${'x'.repeat(1_000)}', ${token})`,
    ],
  ])(
    'a socket that was full before the call %s: a free lock is acquired, an expired one taken over',
    async (_, call) => {
      const { me, token } = await lease();
      const settings =
        'SET debug_print_plan = on; SET debug_print_rewritten = on; SET client_min_messages = log';
      // The size that fills the buffers differs between them.
      const sessions = await Promise.all(
        Array.from({ length: 6 }, (_, n) => open(stage.child, n % 2 === 0 ? settings : 'SELECT 1')),
      );
      for (const [n, session] of sessions.entries())
        for (let times = 0; times < 12_000; times++) {
          session.send(`SELECT repeat('x', ${900 + 37 * n})`);
          session.send(call(me.instanceId, token));
        }
      for (const session of sessions) await waitFor('it is stuck', () => isStuck(session));
      await stage.db.sql`
      UPDATE migrate_lock.migration_lock
         SET locked_at = clock_timestamp() - interval '1 h', expires_at = clock_timestamp() - interval '1 s'`;
      await otherAcquires();
    },
    60_000,
  );
});

describe('mallory, a role that tries to keep the row locked', () => {
  test('a call that is refused for its arguments locks nothing', async () => {
    const { me } = await lease(10 * 60_000);
    const mallory = await open(stage.other);
    const huge = `repeat('x', 30000000)`;
    for (const call of [
      `release('${me.instanceId}', ${huge}, 'holder', 'wait', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
      `release(${huge}, 's', 'holder', 'wait', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
      `release('${me.instanceId}', 's', ${huge}, ${huge}, NULL, NULL, NULL, NULL, NULL, ${huge}, NULL, NULL, NULL, NULL)`,
      `extend(${huge}, ${huge}, 1000)`,
      `leave(${huge}, ${huge})`,
      `poll(1, ${huge}, ${huge}, 1000, ${huge}, NULL, ${huge}, ${huge}, ${huge}, 0, 0, ${huge}, NULL, 1000, false, false)`,
      `poll(1, 'x', 's', 1000, ${huge}, 1, ${huge}, NULL, NULL, 0, 0, 'wait', NULL, 1000, false, false)`,
      `cleanup(${huge}, NULL)`,
    ]) {
      mallory.send(`BEGIN; SELECT migrate_lock.${call}`);
      mallory.send('ROLLBACK');
    }
    mallory.send(
      `BEGIN; SELECT migrate_lock.release('${me.instanceId}', 'guess', 'holder', 'wait', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
    );
    mallory.send(`SELECT repeat('x', 30000000)`);
    await waitFor('it is stuck', () => isStuck(mallory), { limitMs: 120_000 });
    expect(await lock.extend(me, 20 * 60_000, 1_500)).toMatchObject({ outcome: 'extended' });
    expect(await sqlState(lock.release(me, { limitMs: 1_500 }))).toBe('done');
    await otherAcquires();
  }, 180_000);
});
