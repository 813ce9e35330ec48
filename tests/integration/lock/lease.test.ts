import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { LockCalls } from '../../../src/lock/calls.js';
import { newIdentity } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { pollInSql } from '../../support/poll-in-sql.js';

let db: TestDatabase;
let lock: LockCalls;

beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.drop());

beforeEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  lock = await openLock(db.url);
});
afterEach(() => lock.database.disconnect());

async function row() {
  const [lease] = await db.sql`SELECT * FROM migrate_lock.migration_lock`;
  return lease;
}

async function history(): Promise<string[]> {
  const rows = await db.sql<
    { event: string }[]
  >`SELECT event FROM migrate_lock.migration_lock_audit WHERE event <> 'lock.manipulated' ORDER BY id`; // expire()
  return rows.map(({ event }) => event);
}

/** Makes the held lease expire, on the database's clock. */
async function expire(): Promise<void> {
  await db.sql`
    UPDATE migrate_lock.migration_lock
       SET locked_at = clock_timestamp() - interval '1 minute', expires_at = clock_timestamp() - interval '1 second'`;
}

describe('acquire', () => {
  test('returns a lease that ends before the one in the database', async () => {
    const before = performance.now();
    const { answer } = await tryToAcquire(lock, { ttlMs: 30_000 });
    if (answer.outcome !== 'acquired') throw new Error('not acquired');
    expect(answer.takeover).toBeNull();
    expect(answer.lease.endsAtMs).toBeGreaterThan(before + 25_000);
    expect(answer.lease.endsAtMs).toBeLessThanOrEqual(performance.now() + 30_000);
    expect(await history()).toEqual(['lock.acquired']);
  });

  test('is refused while another instance holds the lease, and then writes nothing', async () => {
    const first = await tryToAcquire(lock);
    const [{ lsn: before } = {}] = await db.sql`SELECT xmin::text AS lsn FROM migrate_lock.migration_lock`;
    const second = await tryToAcquire(lock);
    expect(second.answer).toMatchObject({
      outcome: 'held',
      holder: { instanceId: first.me.instanceId, command: 'a migration' },
    });
    const [{ lsn: after, xmax } = {}] =
      await db.sql`SELECT xmin::text AS lsn, xmax::text FROM migrate_lock.migration_lock`;
    expect(after).toBe(before);
    expect(xmax).toBe('0'); // nor was the row locked
  });

  test('always keeps one row with id 1', async () => {
    await tryToAcquire(lock);
    await expect(
      db.sql`INSERT INTO migrate_lock.migration_lock (id, instance_id, locked_at, expires_at, secret_sha256, db_role)
             VALUES (2, 'x', now(), now() + interval '1 s', '', 'x')`,
    ).rejects.toMatchObject({ code: '23514' });
  });

  test('returns increasing fencing tokens, each once, also after a rolled-back attempt', async () => {
    const tokens: number[] = [];
    for (let n = 0; n < 5; n++) {
      const { me, answer } = await tryToAcquire(lock);
      if (answer.outcome !== 'acquired') throw new Error('not acquired');
      tokens.push(answer.lease.fencingToken);
      await lock.release(me);
      const other = newIdentity();
      await db.sql
        .begin(async (sql) => {
          const [given] = await pollInSql(sql, other.instanceId, { secret: other.secret });
          tokens.push((given?.answer.lease as { fencingToken: number }).fencingToken);
          throw new Error('roll back');
        })
        .catch(() => undefined);
    }
    expect(tokens).toHaveLength(10);
    expect([...tokens].sort((a, b) => a - b)).toEqual(tokens);
    expect(new Set(tokens).size).toBe(10);
  });

  test('uses one token for each acquisition', async () => {
    const first = await tryToAcquire(lock);
    await lock.release(first.me);
    const second = await tryToAcquire(lock);
    if (first.answer.outcome !== 'acquired' || second.answer.outcome !== 'acquired')
      throw new Error('not acquired');
    expect(second.answer.lease.fencingToken).toBe(first.answer.lease.fencingToken + 1);
  });

  test('takes over an expired lease, and reports whose', async () => {
    const dead = await tryToAcquire(lock);
    await expire();
    const { answer } = await tryToAcquire(lock);
    expect(answer).toMatchObject({
      outcome: 'acquired',
      takeover: { previousInstanceId: dead.me.instanceId },
    });
    expect(await history()).toEqual(['lock.acquired', 'lock.takeover', 'lock.acquired']);
  });

  test('does not take over before the lease ends', async () => {
    await tryToAcquire(lock);
    await db.sql`UPDATE migrate_lock.migration_lock SET expires_at = clock_timestamp() + interval '400 ms'`;
    expect((await tryToAcquire(lock)).answer.outcome).toBe('held');
  });

  test('recognizes its own lease when the answer to an earlier attempt was lost', async () => {
    const { me, answer } = await tryToAcquire(lock);
    const again = await tryToAcquire(lock, { me });
    if (answer.outcome !== 'acquired' || again.answer.outcome !== 'acquired') throw new Error('not acquired');
    expect(again.answer.lease.fencingToken).toBe(answer.lease.fencingToken);
    expect(again.answer.lease.expiresAt).toEqual(answer.lease.expiresAt);
    expect(await history()).toEqual(['lock.acquired']);
    const thief = { instanceId: me.instanceId, secret: newIdentity().secret };
    expect((await tryToAcquire(lock, { me: thief })).answer.outcome).toBe('held');
  });

  test('refuses an instance id that was used before', async () => {
    const { me } = await tryToAcquire(lock);
    await lock.release(me);
    const thief = { instanceId: me.instanceId, secret: newIdentity().secret };
    await expect(tryToAcquire(lock, { me: thief })).rejects.toMatchObject({ code: '23505' });
  });

  test('starts a lease after the wait for the row, not before', async () => {
    // The first acquisition of all waits for another one, which is rolled back 300 ms later.
    const other = newIdentity();
    const me = newIdentity();
    let waiting: ReturnType<typeof tryToAcquire> | undefined;
    await db.sql
      .begin(async (sql) => {
        await pollInSql(sql, other.instanceId, { secret: other.secret });
        waiting = tryToAcquire(lock, { me, ttlMs: 1_000 });
        for (let blocked = false; !blocked;) {
          const [found] = await db.sql`SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted`;
          blocked = Number(found?.n) > 0;
        }
        await sql`SELECT pg_sleep(0.3)`;
        throw new Error('roll back');
      })
      .catch(() => undefined);
    expect((await waiting)?.answer.outcome).toBe('acquired');
    const [told] =
      await db.sql`SELECT expires_at - at < interval '1050 ms' AND expires_at - at > interval '950 ms' AS whole
                                 FROM migrate_lock.migration_lock, migrate_lock.migration_lock_audit`;
    expect(told?.whole).toBe(true);
  });

  test('does not queue behind a transaction that has locked the row', async () => {
    const { me } = await tryToAcquire(lock);
    await lock.release(me);
    for (const strength of ['FOR KEY SHARE', 'FOR UPDATE']) {
      await db.sql.begin(async (sql) => {
        await sql.unsafe(`SELECT FROM migrate_lock.migration_lock ${strength}`);
        expect((await tryToAcquire(lock)).answer).toMatchObject({ outcome: 'held', holder: null });
      });
    }
  });
});

describe('release', () => {
  test('keeps the row and moves its end to that moment', async () => {
    const { me } = await tryToAcquire(lock);
    expect(await lock.release(me)).toMatchObject({ outcome: 'released', late: false });
    const lease = await row();
    expect(lease?.released_at).toEqual(lease?.expires_at);
    expect(lease?.released_by).toBe('holder');
    expect((await tryToAcquire(lock)).answer).toMatchObject({ outcome: 'acquired', takeover: null });
  });

  test('with a wrong secret changes nothing, and is recorded', async () => {
    const { me } = await tryToAcquire(lock);
    const before = await row();
    const forged = { instanceId: me.instanceId, secret: newIdentity().secret };
    expect(await lock.release(forged)).toEqual({ outcome: 'refused' });
    expect(await row()).toEqual(before);
    expect(await history()).toEqual(['lock.acquired', 'lock.release_failed']);
  });

  test('after a takeover changes nothing, and is recorded', async () => {
    const late = await tryToAcquire(lock);
    await expire();
    const next = await tryToAcquire(lock);
    const before = await row();
    expect(await lock.release(late.me)).toEqual({
      outcome: 'lost',
      holder: next.me.instanceId,
    });
    expect(await row()).toEqual(before);
    expect((await history()).at(-1)).toBe('lock.lost');
  });

  test('of an expired lease that was not taken over succeeds, and is recorded as late', async () => {
    const { me } = await tryToAcquire(lock);
    await expire();
    expect(await lock.release(me)).toMatchObject({ outcome: 'released', late: true });
  });

  test('whose answer was lost finds its own release, also after the next acquisition', async () => {
    const { me } = await tryToAcquire(lock);
    await lock.release(me);
    expect(await lock.release(me)).toMatchObject({ outcome: 'already_released' });
    await tryToAcquire(lock);
    expect(await lock.release(me)).toMatchObject({ outcome: 'already_released' });
  });

  test('without a row answers lost', async () => {
    const { me } = await tryToAcquire(lock);
    await db.sql`DELETE FROM migrate_lock.migration_lock`;
    expect(await lock.release(me)).toEqual({ outcome: 'lost', holder: null });
  });

  test("works when the database's clock has stepped back since the acquisition", async () => {
    const { me } = await tryToAcquire(lock);
    await db.sql`UPDATE migrate_lock.migration_lock
                    SET locked_at = clock_timestamp() + interval '1 hour', expires_at = clock_timestamp() + interval '2 hours'`;
    expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    expect((await tryToAcquire(lock)).answer.outcome).toBe('acquired');
  });

  test('does not queue behind a transaction that references the row', async () => {
    const { me } = await tryToAcquire(lock);
    await db.sql.begin(async (sql) => {
      await sql`SELECT FROM migrate_lock.migration_lock FOR KEY SHARE`;
      expect(await lock.release(me)).toMatchObject({ outcome: 'released' });
    });
  });
});

describe('cleanup', () => {
  test('clears an expired lease once, and is recorded', async () => {
    expect(await lock.cleanup()).toMatchObject({ leases: 0, waiters: 0 });
    await tryToAcquire(lock);
    expect(await lock.cleanup()).toMatchObject({ leases: 0, waiters: 0 });
    await expire();
    expect(await lock.cleanup()).toMatchObject({ leases: 1, waiters: 0 });
    expect(await lock.cleanup()).toMatchObject({ leases: 0, waiters: 0 });
    expect(await row()).toMatchObject({ released_by: 'cleanup' });
    expect(await history()).toEqual(['lock.acquired', 'lock.released']);
    expect((await tryToAcquire(lock)).answer).toMatchObject({ outcome: 'acquired', takeover: null });
  });
});

test('the history is append-only', async () => {
  await tryToAcquire(lock);
  for (const statement of ["UPDATE $ SET event = 'x'", 'DELETE FROM $', 'TRUNCATE $']) {
    await expect(
      db.sql.unsafe(statement.replace('$', 'migrate_lock.migration_lock_audit')),
    ).rejects.toMatchObject({ code: '42501' });
  }
});

test('only a hash of the secret is stored', async () => {
  const { me } = await tryToAcquire(lock);
  await lock.release(me);
  const [dump] = await db.sql`
    SELECT (SELECT jsonb_agg(l)::text FROM migrate_lock.migration_lock l) || (SELECT jsonb_agg(a)::text FROM migrate_lock.migration_lock_audit a) AS text,
           (SELECT secret_sha256 = sha256(convert_to(${me.secret}, 'UTF8')) FROM migrate_lock.migration_lock) AS hashed`;
  expect(String(dump?.text)).toContain(me.instanceId);
  expect(String(dump?.text)).not.toContain(me.secret);
  expect(dump?.hashed).toBe(true);
});
