import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { LockCalls } from '../../../src/lock/calls.js';
import { applicationName, describeThisProcess, newIdentity, type Identity } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let lock: LockCalls;
let clients: postgres.Sql[] = [];

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(async () => {
  lock = await openLock(db.url);
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.end({ timeout: 1 })));
  clients = [];
  lock.database.disconnect();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

/** A client like that of a migration. */
function client(name: string | undefined, url = db.url): postgres.Sql {
  const made = postgres(url, {
    max: 1,
    onnotice: () => undefined,
    connection: { application_name: name ?? 'somebody else' },
  });
  clients.push(made);
  return made;
}

async function pidOf(sql: postgres.Sql): Promise<number> {
  const [row] = await sql`SELECT pg_backend_pid() AS pid`;
  return Number(row?.pid);
}

async function isConnected(pid: number): Promise<boolean> {
  return (await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid}`).length > 0;
}

async function held(): Promise<{ me: Identity; token: number }> {
  const { me, answer } = await tryToAcquire(lock);
  if (answer.outcome !== 'acquired') throw new Error('not acquired');
  return { me, token: answer.lease.fencingToken };
}

async function expire(): Promise<void> {
  await db.sql`
    UPDATE migrate_lock.migration_lock
       SET locked_at = clock_timestamp() - interval '1 minute', expires_at = clock_timestamp() - interval '1 second'`;
}

/** Polls until the lease is acquired, as a waiter does. */
async function acquireSoon(calls = lock) {
  const me = newIdentity();
  return waitFor('the lease', async () => {
    const { answer } = await tryToAcquire(calls, { me });
    return answer.outcome === 'acquired' && answer;
  });
}

describe('a takeover', () => {
  test('first ends the sessions of the previous holder, idle ones too, and no others', async () => {
    const { me } = await held();
    const idle = await pidOf(client(applicationName(me.instanceId)));
    const nested = await pidOf(client(`migrate-lock:${newIdentity().instanceId}:${me.instanceId}`));
    const busy = client(applicationName(me.instanceId));
    const busyPid = await pidOf(busy);
    const running = busy`SELECT pg_sleep(1000)`.catch(() => 'ended');
    const innocent = [
      await pidOf(client(undefined)),
      await pidOf(client(applicationName(newIdentity().instanceId))),
      await pidOf(client(`${applicationName(me.instanceId)}x`)),
    ];
    await expire();
    const first = await tryToAcquire(lock);
    expect(first.answer).toMatchObject({ outcome: 'held' });
    const { takeover } = await acquireSoon();
    expect(takeover).toMatchObject({ previousInstanceId: me.instanceId, sessionsEnded: 3 });
    expect(await running).toBe('ended');
    for (const pid of [idle, nested, busyPid]) expect(await isConnected(pid)).toBe(false);
    for (const pid of innocent) expect(await isConnected(pid)).toBe(true);
  });

  test('finds a session that is in assert_held under any name', async () => {
    const { me, token } = await held();
    const migration = client(undefined);
    const pid = await pidOf(migration);
    await migration`BEGIN`;
    await migration`SELECT migrate_lock.assert_held(${me.instanceId}, ${token})`;
    await expire();
    expect((await acquireSoon()).takeover).toMatchObject({ sessionsEnded: 1 });
    expect(await isConnected(pid)).toBe(false);
  });

  test("does not mistake an application's own advisory lock for assert_held", async () => {
    const { token } = await held();
    const application = client(undefined);
    const pid = await pidOf(application);
    await application`BEGIN`;
    await application`SELECT pg_advisory_xact_lock_shared(1835493228, ${token})`;
    await expire();
    expect((await acquireSoon()).takeover).toMatchObject({ sessionsEnded: 0 });
    expect(await isConnected(pid)).toBe(true);
  });

  test('waits for a session that the role may not end, and reports it', async () => {
    await lock.database.transaction('grant', 5_000, async (session) => {
      await session.unsafe('SELECT 1');
    });
    const weak = await db.createRole();
    const other = await db.createRole();
    // The functions run with their owner's rights: here the owner may end no sessions of other roles.
    await db.sql.unsafe(`
      DROP SCHEMA migrate_lock CASCADE;
      GRANT CREATE ON DATABASE ${db.name} TO ${weak.name}`);
    const weakLock = await openLock(weak.url);
    const { me, answer } = await tryToAcquire(weakLock);
    expect(answer.outcome).toBe('acquired');
    const session = client(applicationName(me.instanceId), other.url);
    const pid = await pidOf(session);
    await expire();
    const blocked = await tryToAcquire(weakLock);
    expect(blocked.answer).toMatchObject({ outcome: 'held', orphans: { denied: 1, sessions: [{ pid }] } });
    await session.end();
    await acquireSoon(weakLock);
    weakLock.database.disconnect();
  });

  test('--orphans ignore changes nothing', async () => {
    const { me } = await held();
    const pid = await pidOf(client(applicationName(me.instanceId)));
    await expire();
    const careless = new LockCalls(lock.database, 'migrate_lock', 'ignore');
    expect((await tryToAcquire(careless)).answer.outcome).toBe('acquired');
    expect(await isConnected(pid)).toBe(true);
  });

  test('--orphans wait waits for the transactions that ran at the first poll, and ends nothing', async () => {
    const { me } = await held();
    const idle = await pidOf(client(applicationName(me.instanceId)));
    const busy = client(applicationName(me.instanceId));
    const busyPid = await pidOf(busy);
    await busy`BEGIN`;
    await busy`SELECT 1`;
    await expire();
    const patient = new LockCalls(lock.database, 'migrate_lock', 'wait');
    const first = await tryToAcquire(patient);
    if (first.answer.outcome !== 'held') throw new Error('acquired under a running transaction');
    expect(first.answer.orphans).toMatchObject({ sessions: [{ pid: busyPid }] });
    // Another client that the pooler gives the session to: its transaction began after the first poll.
    await busy`COMMIT`;
    await busy`BEGIN`;
    await busy`SELECT 1`;
    const again = await patient.poll(newIdentity(), describeThisProcess(null), {
      ttlMs: 30_000,
      pollIntervalMs: 1_000,
      isLast: true,
      limitMs: 5_000,
      respect: null,
      orphans: first.answer.orphans,
    });
    expect(again?.outcome).toBe('acquired');
    for (const pid of [idle, busyPid]) expect(await isConnected(pid)).toBe(true);
  });

  test("respects a lease that still runs on the waiter's own clock", async () => {
    const { token } = await held();
    await expire();
    const poll = (respect: number | null) =>
      lock.poll(newIdentity(), describeThisProcess(null), {
        ttlMs: 30_000,
        pollIntervalMs: 1_000,
        isLast: true,
        limitMs: 5_000,
        respect,
        orphans: null,
      });
    expect((await poll(token))?.outcome).toBe('held');
    expect((await poll(token + 1))?.outcome).toBe('acquired');
  });
});

describe('a release', () => {
  test("first ends the lease's sessions, and releases when there are none", async () => {
    const { me } = await held();
    const busy = client(applicationName(me.instanceId));
    const pid = await pidOf(busy);
    const running = busy`SELECT pg_sleep(1000)`.catch(() => 'ended');
    await waitFor('its statement', async () => {
      const active = await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid} AND state = 'active'`;
      return active.length === 1;
    });
    const first = await lock.release(me);
    expect(first).toMatchObject({ outcome: 'orphans', denied: 0, sessions: [{ pid, state: 'active' }] });
    expect((await tryToAcquire(lock)).answer.outcome).toBe('held');
    await waitFor('the release', async () => (await lock.release(me)).outcome === 'released');
    expect(await running).toBe('ended');
  });

  test('a cleanup does not clear a lease whose sessions still run', async () => {
    const { me } = await held();
    await pidOf(client(applicationName(me.instanceId)));
    await expire();
    expect(await lock.cleanup()).toMatchObject({ leases: 0 });
    await waitFor('the cleanup', async () => (await lock.cleanup()).leases === 1);
  });
});

describe('assert_held', () => {
  test('succeeds while the lease is held, and fails afterwards', async () => {
    const { me, token } = await held();
    const assert = (instanceId: string, fencingToken: number) =>
      db.sql`SELECT migrate_lock.assert_held(${instanceId}, ${fencingToken})`;
    await assert(me.instanceId, token);
    await expect(assert(me.instanceId, token + 1)).rejects.toMatchObject({ code: '55000' });
    await expect(assert('another', token)).rejects.toMatchObject({ code: '55000' });
    await expire();
    await expect(assert(me.instanceId, token)).rejects.toMatchObject({ code: '55000' });
  });

  test("blocks neither polls, nor the holder's extension, nor its release", async () => {
    const { me, token } = await held();
    const migration = client(undefined);
    await migration`BEGIN`;
    await migration`SELECT migrate_lock.assert_held(${me.instanceId}, ${token})`;
    expect((await tryToAcquire(lock)).answer.outcome).toBe('held');
    expect(await lock.extend(me, 60_000)).toMatchObject({ outcome: 'extended' });
    await waitFor('the release', async () => (await lock.release(me)).outcome === 'released');
  });

  test('blocks takeovers until its transaction ends', async () => {
    const { me, token } = await held();
    const migration = client(undefined);
    await migration`BEGIN`;
    await migration`SELECT migrate_lock.assert_held(${me.instanceId}, ${token})`;
    await expire();
    const careless = new LockCalls(lock.database, 'migrate_lock', 'ignore');
    expect((await tryToAcquire(careless)).answer.outcome).toBe('held');
    await migration`COMMIT`;
    expect((await tryToAcquire(careless)).answer.outcome).toBe('acquired');
  });

  test("leaves no setting in the migration's transaction", async () => {
    const { me, token } = await held();
    // plpgsql defines its settings when a session first uses it.
    const settings = (sql: postgres.Sql) => sql`SELECT name, setting FROM pg_settings ORDER BY name`;
    const migration = client(undefined);
    await migration`DO $$ BEGIN END $$`;
    await migration`BEGIN`;
    const before = await settings(migration);
    await migration`SELECT migrate_lock.assert_held(${me.instanceId}, ${token})`;
    expect(await settings(migration)).toEqual(before);
    await migration`COMMIT`;
  });
});

describe('extend', () => {
  test('moves the end to the later of the old end and now + ttl', async () => {
    const { me } = await held();
    const end = async () => {
      const [row] =
        await db.sql`SELECT round(extract(epoch FROM expires_at - clock_timestamp())) AS s FROM migrate_lock.migration_lock`;
      return Number(row?.s);
    };
    expect(await lock.extend(me, 90_000)).toMatchObject({ outcome: 'extended' });
    expect(await end()).toBe(90);
    expect(await lock.extend(me, 10_000)).toMatchObject({ outcome: 'extended' });
    expect(await end()).toBe(90);
  });

  test('is refused for an expired lease or one of another instance, and recorded', async () => {
    const { me } = await held();
    const forged = { instanceId: me.instanceId, secret: newIdentity().secret };
    expect(await lock.extend(forged, 60_000)).toEqual({ outcome: 'refused' });
    expect(await lock.extend(newIdentity(), 60_000)).toEqual({ outcome: 'refused' });
    await expire();
    expect(await lock.extend(me, 60_000)).toEqual({ outcome: 'refused' });
    const [audited] =
      await db.sql`SELECT count(*)::int AS n FROM migrate_lock.migration_lock_audit WHERE event = 'lease.extend_refused'`;
    expect(audited?.n).toBe(1); // of one kind, and within a second
  });
});
