import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import type { LockCalls } from '../../../src/lock/calls.js';
import { applicationName, newIdentity, type Identity } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let lock: LockCalls;

beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  lock = await openLock(db.url);
});
afterEach(async () => {
  lock.database.disconnect();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});

async function held(): Promise<Identity> {
  const { me, answer } = await tryToAcquire(lock);
  if (answer.outcome !== 'acquired') throw new Error('not acquired');
  return me;
}

async function expire(): Promise<void> {
  await db.sql`
    UPDATE migrate_lock.migration_lock
       SET locked_at = clock_timestamp() - interval '1 minute', expires_at = clock_timestamp() - interval '1 second'`;
}

const unlock = (instanceId: string, force = true, leaveSessions = false) =>
  lock.unlock(instanceId, { force, leaveSessions });
const row = async () => (await db.sql`SELECT * FROM migrate_lock.migration_lock`)[0];
const lastAudited = async () =>
  (await db.sql`SELECT * FROM migrate_lock.migration_lock_audit ORDER BY id DESC LIMIT 1`)[0];

describe('unlock', () => {
  test('refuses a live lease without force, and a holder that was not named, and records both', async () => {
    const me = await held();
    const before = await row();
    expect(await unlock(me.instanceId, false)).toMatchObject({
      outcome: 'refused',
      reason: 'live',
      holder: { instanceId: me.instanceId },
    });
    expect(await lastAudited()).toMatchObject({
      event: 'lock.unlock_refused',
      instance_id: null,
      details: { reason: 'live', holder: me.instanceId, namedInstanceId: me.instanceId },
    });
    expect(await unlock(`${me.instanceId}x`)).toMatchObject({ outcome: 'refused', reason: 'holder' });
    await expire();
    await db.sql`DELETE FROM migrate_lock.migration_lock_client`; // one row a second is kept
    expect(await unlock(newIdentity().instanceId)).toMatchObject({ outcome: 'refused', reason: 'holder' });
    expect(await lastAudited()).toMatchObject({ details: { reason: 'holder', holder: me.instanceId } });
    expect(await row()).toMatchObject({ instance_id: before?.instance_id as string, released_at: null });
  });

  test('frees the lock for the next instance, reports the role, and notifies', async () => {
    const me = await held();
    const heard: string[] = [];
    const listener = await db.sql.listen('migrate_lock', () => heard.push('rung'));
    expect(await unlock(me.instanceId)).toMatchObject({ outcome: 'released', sessionsLeft: [] });
    expect(await row()).toMatchObject({ released_by: 'unlock' });
    expect(await lastAudited()).toMatchObject({
      event: 'lock.released',
      instance_id: me.instanceId,
      db_role: 'postgres',
      details: { by: 'unlock', late: false },
    });
    await waitFor('the notification', () => heard.length > 0);
    await listener.unlisten();
    expect((await tryToAcquire(lock)).answer).toMatchObject({ outcome: 'acquired', takeover: null });
    expect(await unlock(me.instanceId)).toMatchObject({ outcome: 'refused', reason: 'holder' });
  });

  test('of an expired lease needs no force; of a free lock changes nothing', async () => {
    expect(await unlock('anybody')).toEqual({ outcome: 'free' });
    const me = await held();
    await expire();
    expect(await unlock(me.instanceId, false)).toMatchObject({ outcome: 'released' });
    expect(await unlock(me.instanceId)).toEqual({ outcome: 'free' });
  });

  test("first ends the lease's sessions", async () => {
    const me = await held();
    const migration = postgres(db.url, {
      max: 1,
      onnotice: () => undefined,
      connection: { application_name: applicationName(me.instanceId) },
    });
    await migration`SELECT 1`;
    const running = migration`SELECT pg_sleep(1000)`.catch(() => 'ended');
    expect(await unlock(me.instanceId)).toMatchObject({ outcome: 'orphans', denied: 0 });
    expect(await row()).toMatchObject({ released_at: null });
    const answer = await waitFor('the end', async () => {
      const told = await unlock(me.instanceId);
      return told.outcome === 'released' && told;
    });
    expect(answer).toMatchObject({ sessionsEnded: 1, sessionsLeft: [] });
    expect(await running).toBe('ended');
    await migration.end({ timeout: 1 });
  });
});

describe('the holder of an unlocked lease', () => {
  test('gets the answer lost while the lock is free', async () => {
    const me = await held();
    await unlock(me.instanceId);
    for (let again = 0; again < 2; again++) {
      expect(await lock.release(me)).toEqual({ outcome: 'lost', holder: null });
    }
    expect(await lastAudited()).toMatchObject({ event: 'lock.lost', instance_id: me.instanceId });
    expect(await row()).toMatchObject({ released_by: 'unlock' });
  });

  test('gets the answer lost with the new holder', async () => {
    const me = await held();
    await unlock(me.instanceId);
    const { me: next } = await tryToAcquire(lock);
    expect(await lock.release(me)).toEqual({ outcome: 'lost', holder: next.instanceId });
  });

  test('can neither extend, nor prove, nor reacquire it', async () => {
    const { me, answer } = await tryToAcquire(lock);
    if (answer.outcome !== 'acquired') throw new Error('not acquired');
    await unlock(me.instanceId);
    expect(await lock.extend(me, 60_000)).toEqual({ outcome: 'refused' });
    await expect(lock.assertHeld(me.instanceId, answer.lease.fencingToken)).rejects.toMatchObject({
      code: '55000',
    });
    await expect(tryToAcquire(lock, { me })).rejects.toMatchObject({ code: '23505' });
  });
});
