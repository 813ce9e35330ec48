import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { LockCalls } from '../../../src/lock/calls.js';
import { verifyHistory } from '../../../src/admin/verify-history.js';
import { openDatabase, tryToAcquire } from '../../support/lock.js';
import { openStage, poll, release, sqlState, type Arguments, type Stage } from './stage.js';

/**
 * What a holder reports about its end goes into the history, which others read: typed, short, and replacing no field of
 * the lock.
 */

let stage: Stage;
let lock: LockCalls;

beforeAll(async () => {
  stage = await openStage({ attemptsPerSecond: 1 });
  lock = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
});
afterAll(async () => {
  lock.database.disconnect();
  await stage.close();
});

test('an end that is huge, negative or impossible is refused, and the lease stays', async () => {
  const { me } = await tryToAcquire(lock);
  const app = stage.as(stage.app);
  const refused: Arguments[] = [
    { p_reason: 'x'.repeat(60_000_000) },
    { p_reason: 'x'.repeat(501) },
    { p_signal: 'x'.repeat(501) },
    { p_exit_code: 256 },
    { p_exit_code: -1 },
    { p_leftovers: -1 },
    { p_end: 'expired' },
    { p_by: 'unlock' },
    { p_by: 'cleanup' },
    { p_by: '' },
    { p_work_exit_code: 256, p_succeeded: true, p_duration_ms: 1 },
    { p_work_exit_code: 0, p_succeeded: true, p_duration_ms: -1 },
    { p_succeeded: true },
  ];
  for (const given of refused)
    expect(await sqlState(release(app, me.instanceId, me.secret, given))).toBe('ML001');
  expect(await lock.status()).toMatchObject({ state: 'held' });
  const said = { exitCode: 1, reason: 'deadline', leftovers: 2 };
  await release(app, me.instanceId, me.secret, {
    ...{ p_exit_code: 1, p_reason: 'deadline', p_leftovers: 2, p_by: 'guard' },
  });
  expect((await lock.history(1, null))[0]).toMatchObject({
    event: 'lock.released',
    details: { ...said, by: 'guard' },
  });
  expect((await verifyHistory(lock)).rows).toBeGreaterThan(0);
}, 60_000);

test('calls over the rate limit write at most one row a second', async () => {
  expect((await poll(stage.as(stage.other))).outcome).toBe('acquired');
  const app = stage.as(stage.app);
  await poll(app, { p_instance_id: 'announced before' });
  await stage.db.sql`
    INSERT INTO migrate_lock.migration_lock_client (kind, db_role, address, next_at, counted_at)
    VALUES ('attempt', ${stage.app.name}, '127.0.0.1', now() + interval '1 hour', now())
    ON CONFLICT (kind, db_role, address) DO UPDATE SET next_at = excluded.next_at`;
  const count = async () => {
    const [row] = await stage.db.sql<{ rows: number; waiters: number }[]>`
      SELECT (SELECT count(*)::int FROM migrate_lock.migration_lock_audit) AS rows,
             (SELECT count(*)::int FROM migrate_lock.migration_lock_waiter) AS waiters`;
    return row ?? { rows: 0, waiters: 0 };
  };
  const before = await count();
  const startedAtMs = performance.now();
  for (let n = 0; n < 20; n++) {
    expect(
      (await poll(app, { p_instance_id: 'announced before', p_last: true })).retryAfterMs,
    ).toBeGreaterThan(0);
    expect((await poll(app)).retryAfterMs).toBeGreaterThan(0);
  }
  const after = await count();
  expect(after.waiters).toBe(before.waiters);
  expect(after.rows - before.rows).toBeLessThanOrEqual(1 + (performance.now() - startedAtMs) / 1_000);
});
