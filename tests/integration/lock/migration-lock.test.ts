import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import {
  LockWaitTimeoutError,
  MigrationLock,
  withMigrationLock,
  type MigrateLockEvent,
} from '../../../src/index.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

async function sessions(): Promise<number> {
  return (await db.clients()).filter((name) => name === 'migrate-lock').length;
}

describe.each([
  'a URL',
  'a postgres.js instance',
  // A common setting behind a pooler; postgres.js then connects in another way.
  'a postgres.js instance that fetches no types',
])('MigrationLock with %s', (kind) => {
  let sql: postgres.Sql;
  const events: MigrateLockEvent[] = [];

  beforeEach(() => {
    sql = postgres(db.url, {
      max: 3,
      onnotice: () => undefined,
      ...(kind.endsWith('no types') ? { fetch_types: false, prepare: false } : {}),
    });
    events.length = 0;
  });
  afterEach(() => sql.end());

  function make(options: Partial<ConstructorParameters<typeof MigrationLock>[0]> = {}): MigrationLock {
    const connection = kind === 'a URL' ? db.url : sql;
    return new MigrationLock({ connection, onEvent: (event) => events.push(event), ...options });
  }

  test('acquire returns true for one, and false for the others', async () => {
    const locks = [make(), make(), make()];
    const results = await Promise.all(locks.map((lock) => lock.acquire()));
    expect(results.filter(Boolean)).toHaveLength(1);
    const holder = locks[results.indexOf(true)] ?? make();
    expect(holder.lease).toMatchObject({ instanceId: holder.instanceId, fencingToken: 1 });
    expect(await holder.release()).toBe(true);
    expect(await make().acquire()).toBe(true);
  });

  test('wait takes its turn after the holder, or names the holder in the error', async () => {
    const holder = make({ command: 'the first' });
    await holder.wait();
    const impatient = make({ waitTimeoutMs: 200 });
    const error: unknown = await impatient.wait().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LockWaitTimeoutError);
    expect(error).toMatchObject({
      code: 'LOCK_WAIT_TIMEOUT',
      exitCode: 75,
      holder: { instanceId: holder.instanceId, command: 'the first' },
    });
    expect(String(error)).toMatch(/the first, since .*Z, until .*Z/);
    const next = make().wait();
    await waitFor('a waiter', async () => (await holder.status()).waiters.length === 1);
    await holder.release();
    expect((await next).fencingToken).toBe(2);
  });

  test('reports a second acquire, a second release, and a release without an acquire', async () => {
    const lock = make();
    expect(await lock.release()).toBe(false);
    expect(events.at(-1)).toMatchObject({ event: 'error', code: 'LOCK_MISUSED' });
    await lock.acquire();
    await expect(lock.acquire()).rejects.toMatchObject({ code: 'LOCK_MISUSED' });
    await expect(lock.wait()).rejects.toMatchObject({ code: 'LOCK_MISUSED' });
    const { instanceId } = lock;
    expect(await lock.release()).toBe(true);
    expect(await lock.release()).toBe(false);
    expect(await lock.acquire()).toBe(true);
    expect(lock.instanceId).not.toBe(instanceId);
    expect(await lock.release()).toBe(true);
  });

  test('release after a takeover returns false and changes nothing', async () => {
    const late = make({ ttlMs: 1 });
    await late.acquire();
    const next = make();
    await next.wait();
    expect(await late.release()).toBe(false);
    expect((await next.status()).lease).toMatchObject({ instanceId: next.instanceId, releasedAtMs: null });
    expect(await next.release()).toBe(true);
  });

  test('extend never shortens the lease, and works only while it is held', async () => {
    const lock = make({ ttlMs: 30_000 });
    expect(await lock.extend(60_000)).toBe(false);
    await lock.acquire();
    const before = lock.lease?.expiresAt.getTime() ?? NaN;
    expect(await lock.extend(90_000)).toBe(true);
    const after = lock.lease?.expiresAt.getTime() ?? NaN;
    expect(after - before).toBeGreaterThan(50_000);
    expect(await lock.extend(1_000)).toBe(true);
    expect(lock.lease?.expiresAt.getTime()).toBe(after);
    expect(events.map(({ event }) => event)).toContain('lease.extended');
    await lock.release();
    expect(await lock.extend(60_000)).toBe(false);
  });

  test('cleanupExpiredLocks returns how many it cleared', async () => {
    const lock = make({ ttlMs: 1 });
    expect(await lock.cleanupExpiredLocks()).toBe(0);
    await make({ ttlMs: 1 }).acquire();
    await waitFor('it has run out', async () => (await lock.status()).state === 'expired');
    expect(await lock.cleanupExpiredLocks()).toBe(1);
    expect((await lock.status()).state).toBe('free');
  });

  test('an aborted wait leaves the queue and holds nothing', async () => {
    const holder = make();
    await holder.acquire();
    const abort = new AbortController();
    const waiting = make({ signal: abort.signal }).wait();
    await waitFor('it waits', async () => (await holder.status()).waiters.length === 1);
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    expect((await holder.status()).waiters).toEqual([]);
    await holder.release();
    expect((await holder.status()).state).toBe('free');
  });

  test('holds no connection after it has answered', async () => {
    const lock = make();
    await lock.acquire();
    await waitFor('no session is left', async () => (await sessions()) === 0);
    await lock.release();
  });

  test('a listener that throws changes nothing', async () => {
    const lock = make({
      onEvent: () => {
        throw new Error('not my day');
      },
    });
    expect(await lock.acquire()).toBe(true);
    expect(await lock.release()).toBe(true);
  });
});

describe('withMigrationLock', () => {
  test('runs the work under the lease and releases it', async () => {
    const result = await withMigrationLock({ connection: db.url }, async (work) => {
      expect(work).toMatchObject({ fencingToken: 1, applicationName: `migrate-lock:${work.instanceId}` });
      expect(work.expiresAt.getTime()).toBeGreaterThan(Date.now());
      expect(work.signal.aborted).toBe(false);
      const status = await new MigrationLock({ connection: db.url }).status();
      expect(status.state).toBe('held');
      return 'done';
    });
    expect(result).toBe('done');
    expect((await new MigrationLock({ connection: db.url }).status()).state).toBe('free');
  });

  test('releases when the work throws, and rethrows the error', async () => {
    await expect(
      withMigrationLock({ connection: db.url }, () => Promise.reject(new Error('broken migration'))),
    ).rejects.toThrow('broken migration');
    expect((await new MigrationLock({ connection: db.url }).status()).state).toBe('free');
  });

  test('aborts the signal before the lease ends', async () => {
    await withMigrationLock({ connection: db.url, ttlMs: 1_500 }, async ({ signal, expiresAt }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      const [left] =
        await db.sql`SELECT clock_timestamp() < ${expiresAt.toISOString()}::timestamptz AS before`;
      expect(left?.before).toBe(true);
    });
  });
});

test.each([0, -1, 1.5, NaN, Infinity])('a ttl of %p is refused', (ttlMs) => {
  expect(() => new MigrationLock({ connection: db.url, ttlMs })).toThrow(/ttlMs/);
});

test('parallel workers with an unprotected counter count exactly', async () => {
  await db.sql`CREATE TABLE counter AS SELECT 0 AS n`;
  const rounds = [1, 2, 3, 4, 5, 1, 2, 3];
  await Promise.all(
    rounds.map(async (times) => {
      for (let round = 0; round < times; round++) {
        await withMigrationLock({ connection: db.url, waitTimeoutMs: 60_000 }, async () => {
          const [{ n } = { n: NaN }] = await db.sql<{ n: number }[]>`SELECT n FROM counter`;
          await db.sql`SELECT pg_sleep(0.005)`;
          await db.sql`UPDATE counter SET n = ${n + 1}`;
        });
      }
    }),
  );
  expect((await db.sql`SELECT n FROM counter`)[0]?.n).toBe(21);
});
