import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { MigrateLockError, MigrationLock, type MigrateLockEvent } from '../../../src/index.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { waitFor } from '../../support/wait-for.js';

// The library extends while the database is down. The test stops its own server.
let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;

beforeAll(async () => {
  server = await startServer();
  db = await createDatabase(server.url);
});
afterEach(async () => {
  if (server.pid === null) await server.start();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await db.sql.end({ timeout: 1 });
  await server.stop();
});

describe.each(['a URL', 'a postgres.js instance'])('extend() with %s', (kind) => {
  let sql: postgres.Sql;
  let events: MigrateLockEvent[];

  beforeEach(() => {
    sql = postgres(db.url, { max: 2, onnotice: () => undefined });
    events = [];
  });
  afterEach(() => sql.end({ timeout: 1 }));

  async function holder(ttlMs: number, signal?: AbortSignal): Promise<MigrationLock> {
    const connection = kind === 'a URL' ? db.url : sql;
    const lock = new MigrationLock({
      connection,
      ttlMs,
      onEvent: (event) => events.push(event),
      ...(signal === undefined ? {} : { signal }),
    });
    await lock.wait();
    return lock;
  }

  const goesOnTrying = () =>
    waitFor('it tries again', () => events.some(({ event }) => event === 'database.unavailable'), {
      limitMs: 20_000,
    });

  test('extends after the database comes back', async () => {
    const lock = await holder(60_000);
    await server.halt('fast');
    const extended = lock.extend(300_000);
    await goesOnTrying();
    await server.start();
    expect(await extended).toBe(true);
    expect((await lock.status()).lease?.expiresInMs).toBeGreaterThan(200_000);
    expect(await lock.release()).toBe(true);
  });

  test("extends after the lock's row was locked for long", async () => {
    const lock = await holder(60_000);
    let extended: Promise<boolean> | undefined;
    await db.sql.begin(async (blocking) => {
      await blocking`SELECT FROM migrate_lock.migration_lock FOR UPDATE`;
      extended = lock.extend(300_000);
      await goesOnTrying();
    });
    expect(await extended).toBe(true);
    expect(await lock.release()).toBe(true);
  });

  test("fails while the lease lasts and the database is down, and reports the lease's end", async () => {
    const lock = await holder(5_000);
    const { expiresAt, endsAtMs } = lock.lease ?? { expiresAt: new Date(NaN), endsAtMs: NaN };
    await server.halt('fast');
    const error: unknown = await lock.extend(300_000).catch((thrown: unknown) => thrown);
    const leftMs = endsAtMs - performance.now();
    expect(error).toBeInstanceOf(MigrateLockError);
    expect(error).toMatchObject({ code: 'DATABASE_UNREACHABLE', exitCode: 69 });
    expect(String(error)).toContain(`The lease is held until ${expiresAt.toISOString()}`);
    // There is time left to stop, but not for another attempt.
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThan(1_500);
  });

  test("fails in the same way while the lock's row stays locked", async () => {
    const lock = await holder(5_000);
    await db.sql.begin(async (blocking) => {
      await blocking`SELECT FROM migrate_lock.migration_lock FOR UPDATE`;
      await expect(lock.extend(300_000)).rejects.toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        exitCode: 69,
      });
    });
  });

  test('returns false when the lease was unlocked, also after the database is back', async () => {
    const lock = await holder(60_000);
    await db.sql`UPDATE migrate_lock.migration_lock SET expires_at = clock_timestamp()`;
    await server.halt('fast');
    const extended = lock.extend(300_000);
    await goesOnTrying();
    await server.start();
    expect(await extended).toBe(false);
  });

  test('stops trying at the signal', async () => {
    const abort = new AbortController();
    const lock = await holder(60_000, abort.signal);
    await server.halt('fast');
    const extended = lock.extend(300_000);
    await goesOnTrying();
    abort.abort();
    await expect(extended).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
  });

  test('a release during an extension stays a release', async () => {
    const lock = await holder(60_000);
    await server.halt('fast');
    const extended = lock.extend(300_000).catch(() => false);
    await goesOnTrying();
    const released = lock.release();
    await server.start();
    expect(await released).toBe(true);
    await extended;
    expect(lock.lease).toBeUndefined();
  });
});
