import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { LockCalls, WorkResult } from '../../../src/lock/calls.js';
import { describeThisProcess, newIdentity, type Identity } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { LIMIT_MS, openLock } from '../../support/lock.js';

let db: TestDatabase;
let lock: LockCalls;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  lock.database.disconnect();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const KEY = 'release 1';
const FAILED: WorkResult = { succeeded: false, exitCode: 3, durationMs: 5 };
const SUCCEEDED: WorkResult = { succeeded: true, exitCode: 0, durationMs: 5 };
const look = (isLast = false) => lock.watch(KEY, 'a watcher', isLast);

async function poll(command: string, { runKey = KEY, ttlMs = 30_000, isLast = false } = {}) {
  const me = newIdentity();
  const answer = await lock.poll(me, describeThisProcess(command, runKey, `sha of ${command}`), {
    ...{ ttlMs, pollIntervalMs: 1_000, isLast, limitMs: LIMIT_MS, respect: null, orphans: null },
  });
  return { me, outcome: answer?.outcome };
}

const release = (me: Identity, work: WorkResult | null, kind: 'clean' | 'signalled' = 'clean') =>
  lock.release(me, { end: { exitCode: work?.exitCode ?? null, kind }, work });

async function runOnce(command: string, work: WorkResult, runKey = KEY) {
  const { me, outcome } = await poll(command, { runKey });
  expect(outcome).toBe('acquired');
  await release(me, work);
}

describe('the work of a run key is done', () => {
  test('when its command has succeeded, not while it is unknown, runs, or has failed', async () => {
    lock = await openLock(db.url);
    expect(await look()).toMatchObject({ done: false, success: null, failure: null, holder: null });
    const first = await poll('migrate');
    expect(await look()).toMatchObject({
      ...{ done: false, isAwaited: true },
      holder: { instanceId: first.me.instanceId, command: 'migrate' },
    });
    await release(first.me, FAILED);
    const failed = await look();
    expect(failed).toMatchObject({ done: false, isAwaited: false, holder: null });
    expect(failed.failure).toMatchObject({ succeeded: false, exitCode: 3, command: 'migrate' });
    expect(failed.failedAgoMs).toBeGreaterThanOrEqual(0);
    expect(failed.failedAgoMs).toBeLessThan(10_000);
    await runOnce('migrate', SUCCEEDED);
    expect(await look()).toMatchObject({ done: true, failure: null, success: { command: 'migrate' } });
  });

  test('only when every command that is known under it has succeeded', async () => {
    lock = await openLock(db.url);
    await runOnce('migrate a', SUCCEEDED);
    await runOnce('migrate b', FAILED);
    expect(await look()).toMatchObject({ done: false, success: { command: 'migrate a' } });
    await runOnce('migrate b', SUCCEEDED);
    expect(await look()).toMatchObject({ done: true });
  });

  test('not while another command runs under it, nor after the lease of that one has expired', async () => {
    lock = await openLock(db.url);
    await runOnce('migrate a', SUCCEEDED);
    expect(await poll('migrate b', { ttlMs: 300 })).toMatchObject({ outcome: 'acquired' });
    expect(await look()).toMatchObject({ done: false, isAwaited: true });
    await sleep(400);
    expect(await look()).toMatchObject({ done: false, isAwaited: true, holder: null });
  });

  test('not after another command under it had an unclean end, also when the lease is taken over since', async () => {
    lock = await openLock(db.url);
    await runOnce('migrate a', SUCCEEDED);
    const killed = await poll('migrate b');
    await release(killed.me, null, 'signalled');
    await runOnce('migrate', SUCCEEDED, 'release 2');
    expect(await look()).toMatchObject({
      ...{ done: false, isAwaited: false, failure: null },
      uncleanEnd: { kind: 'signalled', command: 'migrate b' },
    });
    await runOnce('migrate b', SUCCEEDED);
    expect(await look()).toMatchObject({ done: true, uncleanEnd: null });
  });

  test('not while another command waits under it', async () => {
    lock = await openLock(db.url);
    await runOnce('migrate a', SUCCEEDED);
    const holder = await poll('other work', { runKey: 'release 2' });
    expect(await look()).toMatchObject({ done: true });
    expect(await poll('migrate b')).toMatchObject({ outcome: 'held' });
    expect(await look()).toMatchObject({ done: false, isAwaited: true });
    // A waiter whose command has succeeded waits for nothing.
    await db.sql`UPDATE migrate_lock.migration_lock_waiter SET command_sha256 = 'sha of migrate a'`;
    expect(await look()).toMatchObject({ done: true });
    await release(holder.me, null);
  });

  test('whatever other run keys are known', async () => {
    lock = await openLock(db.url);
    await runOnce('migrate', FAILED, 'release 0');
    await runOnce('migrate', SUCCEEDED);
    expect(await look()).toMatchObject({ done: true });
    expect(await lock.watch('release 2', 'a watcher', false)).toMatchObject({ done: false, success: null });
  });
});

describe('watchers', () => {
  const watchers = async () => (await lock.status()).watchers;

  test('are counted until they have seen the end of the work, or give up', async () => {
    lock = await openLock(db.url);
    expect(await watchers()).toBe(0);
    expect(await look()).toMatchObject({ watchers: 1 });
    expect(await look()).toMatchObject({ watchers: 1 });
    expect(await lock.watch('another key', 'another watcher', false)).toMatchObject({ watchers: 2 });
    expect(await watchers()).toBe(2);
    await lock.watch('another key', 'another watcher', true);
    expect(await watchers()).toBe(1);
    await runOnce('migrate', SUCCEEDED);
    expect(await look()).toMatchObject({ done: true });
    expect(await watchers()).toBe(0);
  });

  test('write once a minute at most, and stop counting by themselves', async () => {
    lock = await openLock(db.url);
    const row = async () =>
      (await db.sql`SELECT ctid::text, counts_until::text FROM migrate_lock.migration_lock_watcher`)[0];
    await look();
    const written = await row();
    for (let at = 0; at < 5; at++) await look();
    expect(await row()).toEqual(written);
    await db.sql`UPDATE migrate_lock.migration_lock_watcher SET counts_until = counts_until - interval '61 s'`;
    await look();
    expect(await row()).not.toEqual(written);
    await db.sql`UPDATE migrate_lock.migration_lock_watcher SET counts_until = counts_until - interval '121 s'`;
    expect(await watchers()).toBe(0);
    // The next to come removes it.
    await lock.watch(KEY, 'another watcher', false);
    expect(await db.sql`SELECT FROM migrate_lock.migration_lock_watcher`).toHaveLength(1);
  });

  test('wait for no row that another transaction has locked', async () => {
    lock = await openLock(db.url);
    await look();
    await db.sql`UPDATE migrate_lock.migration_lock_watcher SET counts_until = counts_until - interval '61 s'`;
    const session = await db.sql.reserve();
    try {
      await session`BEGIN`;
      await session`SELECT FROM migrate_lock.migration_lock_watcher FOR UPDATE`;
      expect(await look()).toMatchObject({ watchers: 1 });
      expect(await look(true)).toMatchObject({ watchers: 1 });
    } finally {
      await session`ROLLBACK`;
      session.release();
    }
  });
});

test('cleanup keeps the newest 100 keys that have succeeded, however old they are', async () => {
  lock = await openLock(db.url);
  await db.sql`
    INSERT INTO migrate_lock.migration_lock_run
    SELECT 'key ' || n, 'sha', n <> 120, 0, now() - interval '1 year' - (200 - n) * interval '1 minute', 5, 'i', 1, 'h', 'app', 'true'
      FROM generate_series(1, 120) AS n`;
  expect(await lock.prune(1_000)).toMatchObject({ runs: 20 });
  const kept = await db.sql<{ run_key: string }[]>`
    SELECT run_key FROM migrate_lock.migration_lock_run ORDER BY finished_at`;
  expect(kept.map(({ run_key }) => run_key)).toEqual(
    Array.from({ length: 100 }, (_, at) => `key ${at + 20}`),
  );
});
