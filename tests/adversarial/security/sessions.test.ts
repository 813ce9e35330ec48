import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { LockCalls } from '../../../src/lock/calls.js';
import { newIdentity, type Identity } from '../../../src/lock/lease.js';
import type { TestRole } from '../../support/database.js';
import { openDatabase, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';
import { call, openStage, poll, sqlState, type Stage } from './stage.js';

let stage: Stage;
let mine: LockCalls;
let others: LockCalls;

beforeAll(async () => {
  stage = await openStage();
  mine = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
  others = new LockCalls(openDatabase(stage.other.url), 'migrate_lock');
});
afterEach(async () => {
  await stage.db.sql`DELETE FROM migrate_lock.migration_lock`;
});
afterAll(async () => {
  mine.database.disconnect();
  others.database.disconnect();
  await stage.close();
});

/**
 * A session with the name of the lease, in a transaction.
 * @returns whether it lives.
 */
async function session(role: TestRole, me: Identity): Promise<() => Promise<boolean>> {
  const sql = stage.as(role, `migrate-lock:${me.instanceId}`);
  const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  return async () =>
    (await stage.db.sql`SELECT FROM pg_stat_activity WHERE pid = ${row?.pid ?? 0}`).length === 1;
}

/** Makes the lease expire; sessions with its name are younger than it. */
async function expire(): Promise<void> {
  await stage.db.sql`
    UPDATE migrate_lock.migration_lock
       SET locked_at = clock_timestamp() - interval '1 minute', expires_at = clock_timestamp() - interval '1 second'`;
}

/** Polls, as a waiter does, until the lease is acquired. */
async function takeOver(lock: LockCalls): Promise<Identity> {
  const me = newIdentity();
  await waitFor('the takeover', async () => (await tryToAcquire(lock, { me })).answer.outcome === 'acquired');
  return me;
}

describe("a takeover ends the sessions of the lease's own role and of its child roles", () => {
  test.each(['app', 'child'] as const)('%s', async (who) => {
    const { me } = await tryToAcquire(mine);
    const lives = await session(stage[who], me);
    expect(await lives()).toBe(true);
    await expire();
    await takeOver(others);
    expect(await lives()).toBe(false);
  });
});

describe('the sessions of other roles', () => {
  test('are not ended by a takeover of a lease with their instance id', async () => {
    const chosen = newIdentity();
    const victim = await session(stage.app, chosen);
    // The attacker's lease has the name of the victim's sessions, and expires.
    await tryToAcquire(others, { me: chosen });
    await expire();
    await takeOver(mine);
    expect(await victim()).toBe(true);
  });

  test('are not ended by a release of a lease with their instance id', async () => {
    const chosen = newIdentity();
    const victim = await session(stage.child, chosen);
    await tryToAcquire(others, { me: chosen });
    expect(await others.release(chosen)).toMatchObject({ outcome: 'released' });
    expect(await victim()).toBe(true);
  });

  test("do not block a takeover by using the holder's name", async () => {
    const { me } = await tryToAcquire(mine);
    const pretender = await session(stage.other, me);
    await expire();
    expect((await tryToAcquire(mine)).answer.outcome).toBe('acquired');
    expect(await pretender()).toBe(true);
  });

  test('are ended under a lease of the owner, who has the right to', async () => {
    const owner = new LockCalls(openDatabase(stage.owner.url), 'migrate_lock');
    const { me } = await tryToAcquire(owner);
    const lives = await session(stage.app, me);
    await expire();
    await takeOver(owner);
    expect(await lives()).toBe(false);
    owner.database.disconnect();
  });
});

describe("another role's expired lease with an open transaction", () => {
  test.each([
    { p_orphans: 'ignore', p_seen: null },
    { p_orphans: 'wait', p_seen: [] },
    { p_orphans: 'ignore', p_seen: [] },
  ])('is not cleared by %j', async (policy) => {
    const { me } = await tryToAcquire(mine);
    const work = stage.as(stage.app, `migrate-lock:${me.instanceId}`);
    await work.unsafe('BEGIN; SELECT 1');
    await stage.db.sql`UPDATE migrate_lock.migration_lock SET expires_at = clock_timestamp()`;
    const other = stage.as(stage.other);
    expect((await poll(other, { ...policy, p_last: true })).outcome).toBe('held');
    expect(await call(other, 'cleanup', policy)).toMatchObject({ leases: 0 });
    await work.unsafe('COMMIT');
    expect((await poll(other, policy)).outcome).toBe('acquired');
  });

  test('is taken over by its own role', async () => {
    const { me } = await tryToAcquire(mine);
    const work = stage.as(stage.app, `migrate-lock:${me.instanceId}`);
    await work.unsafe('BEGIN; SELECT 1');
    await stage.db.sql`UPDATE migrate_lock.migration_lock SET expires_at = clock_timestamp()`;
    const careless = new LockCalls(openDatabase(stage.app.url), 'migrate_lock', 'ignore');
    expect((await tryToAcquire(careless)).answer.outcome).toBe('acquired');
    await work.unsafe('ROLLBACK');
    careless.database.disconnect();
  });
});

describe('assert_held', () => {
  const assertAs = (sql: postgres.Sql, me: Identity, token: number) =>
    sqlState(sql`SELECT migrate_lock.assert_held(${me.instanceId}, ${token})`);

  test("answers the lease's own role and its child roles, and no other", async () => {
    const { me, answer } = await tryToAcquire(mine);
    if (answer.outcome !== 'acquired') throw new Error('not acquired');
    const { fencingToken } = answer.lease;
    expect(await assertAs(stage.as(stage.app), me, fencingToken)).toBe('done');
    expect(await assertAs(stage.as(stage.child), me, fencingToken)).toBe('done');
    expect(await assertAs(stage.as(stage.other), me, fencingToken)).toBe('42501');
    expect(await assertAs(stage.as(stage.stranger), me, fencingToken)).toBe('42501');
  });

  test('a similar mark in a session of another role blocks no takeover', async () => {
    const { answer } = await tryToAcquire(mine);
    if (answer.outcome !== 'acquired') throw new Error('not acquired');
    const attacker = stage.as(stage.other);
    const mark = 'DO $$ BEGIN LOCK TABLE migrate_lock.migration_lock_assertion IN ROW SHARE MODE; END $$';
    expect(await sqlState(attacker.unsafe(mark))).toBe('42501');
    await attacker.unsafe(`
      BEGIN; SELECT migrate_lock.status();
      CREATE TEMP TABLE migration_lock_assertion (); LOCK TABLE migration_lock_assertion IN ROW SHARE MODE;
      SELECT pg_advisory_xact_lock_shared(1835493228, ${answer.lease.fencingToken})`);
    await expire();
    expect((await tryToAcquire(mine)).answer.outcome).toBe('acquired');
    await attacker.unsafe('ROLLBACK');
  });
});
