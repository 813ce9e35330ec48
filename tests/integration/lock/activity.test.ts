/** What is told of the lease's database sessions: by activity() of the lock, and by PostgreSQL to the caller's own role. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import type { SessionActivity } from '../../../src/events/events.js';
import { readActivity } from '../../../src/lock/activity.js';
import type { LockCalls } from '../../../src/lock/calls.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { LIMIT_MS, openLock, tryToAcquire } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let lock: LockCalls;
let instanceId: string;
const opened: postgres.Sql[] = [];

beforeAll(async () => {
  db = await createDatabase();
  await db.sql`CREATE TABLE orders AS SELECT id, 'x' AS note FROM generate_series(1, 100) AS id`;
});
beforeEach(async () => {
  lock = await openLock(db.url);
  ({
    me: { instanceId },
  } = await tryToAcquire(lock));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((sql) => sql.end({ timeout: 0 })));
  lock.database.disconnect();
  await db.sql`DROP SCHEMA migrate_lock CASCADE`;
});
afterAll(() => db.drop());

async function open(name: string): Promise<{ sql: postgres.Sql; pid: number }> {
  const sql = postgres(db.url, {
    max: 1,
    onnotice: () => undefined,
    connection: { application_name: name },
  });
  opened.push(sql);
  const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
  return { sql, pid: row?.pid ?? 0 };
}

/** A session of the lease's command. */
const ofLease = () => open(`migrate-lock:${instanceId}`);

/** A statement whose end is not waited for. */
function begin(sql: postgres.Sql, statement: string): void {
  void sql.unsafe(statement).catch(() => undefined);
}

const read = async (): Promise<SessionActivity[]> =>
  (await readActivity(lock.database, 'migrate_lock', LIMIT_MS))?.sessions ?? [];

/** The lease's session, as soon as it is as wanted. */
const until = (what: string, pid: number, isSo: (session: SessionActivity) => boolean) =>
  waitFor(what, async () => {
    const session = (await read()).find((one) => one.pid === pid);
    return session !== undefined && isSo(session) ? session : null;
  });

describe('the sessions of the lease', () => {
  test('are those that bear its name, with their statement without literals; others are not shown', async () => {
    const { sql, pid } = await ofLease();
    await open('migrate-lock:another');
    await open('psql');
    begin(sql, `SELECT pg_sleep(60), 'a secret' AS secret -- ${'x'.repeat(10)}`);
    const session = await until('it sleeps', pid, ({ state }) => state === 'active');
    expect(await read()).toHaveLength(1);
    expect(session).toMatchObject({
      pid,
      role: 'postgres',
      state: 'active',
      statement: 'SELECT pg_sleep(?), ? AS secret /*?*/',
      waiting: null,
      queued: 0,
      progress: null,
    });
    expect(session.waitEvent).toMatch(/^Timeout: PgSleep$|^null$/);
  });

  test('of a hundred that another role has given their name, none takes their place', async () => {
    const stranger = await db.createRole();
    const strangers = Array.from({ length: 101 }, () =>
      postgres(stranger.url, { max: 1, fetch_types: false, onnotice: () => undefined }),
    );
    opened.push(...strangers);
    await Promise.all(strangers.map((sql) => sql`SELECT 1`));
    // The process ids of sessions that were there before are lower.
    const { sql, pid } = await ofLease();
    await sql.unsafe('BEGIN');
    await Promise.all(
      strangers.map((one) => one.unsafe(`SET application_name = 'migrate-lock:${instanceId}'`)),
    );
    const shown = await read();
    expect(shown).toHaveLength(100);
    expect(shown.map((session) => session.pid)).toContain(pid);
  });

  test('the COPY of a query is on no table', async () => {
    const { sql, pid } = await ofLease();
    begin(sql, 'COPY (SELECT pg_sleep(1000)) TO STDOUT');
    const { progress } = await until(
      'it runs',
      pid,
      ({ statement }) => statement?.startsWith('COPY') === true,
    );
    expect(progress?.object ?? null).toBeNull();
  });

  test('a session that has called assert_held() is one, whatever its name', async () => {
    const { sql, pid } = await open('psql');
    const [lease] = await db.sql<{ token: string }[]>`
      SELECT fencing_token AS token FROM migrate_lock.migration_lock`;
    await sql.unsafe(`BEGIN; SELECT migrate_lock.assert_held('${instanceId}', ${lease?.token ?? ''})`);
    // Its statement is not asked for: the name may be a stranger's.
    expect(await read()).toMatchObject([{ pid, state: 'idle in transaction', statement: null }]);
  });

  test('an idle session that is older than the lease is a stranger’s: a pooler has lent it', async () => {
    const { pid } = await ofLease();
    expect(await read()).toMatchObject([{ pid }]);
    await db.sql`UPDATE migrate_lock.migration_lock SET locked_at = clock_timestamp()`;
    expect(await read()).toEqual([]);
  });

  test('a lease that was released has none', async () => {
    await ofLease();
    await db.sql`UPDATE migrate_lock.migration_lock SET released_at = clock_timestamp()`;
    expect(await readActivity(lock.database, 'migrate_lock', LIMIT_MS)).toBeNull();
  });

  test('a statement that the server has cut inside a literal, between the bytes of a character', async () => {
    const { sql, pid } = await ofLease();
    await sql.unsafe(`SELECT length('${'é€'.repeat(900)}secret')`).catch(() => undefined);
    const session = await until('it is idle', pid, ({ state }) => state === 'idle');
    expect(session.statement).toBe('SELECT length(?');
  });
});

describe('a session that waits', () => {
  test('for a table: what is in its way, and how many wait behind it', async () => {
    const blocker = await open('web');
    await blocker.sql.unsafe('BEGIN; SELECT count(*) FROM orders');
    const migration = await ofLease();
    begin(migration.sql, 'ALTER TABLE orders ADD COLUMN more text');
    await until('it waits', migration.pid, ({ waiting }) => waiting !== null);
    const readers = [await open('reader'), await open('reader')];
    for (const { sql } of readers) begin(sql, 'SELECT count(*) FROM orders');
    const session = await until('they queue', migration.pid, ({ queued }) => queued === 2);
    const [{ tellsSince } = {}] = await db.sql`
      SELECT current_setting('server_version_num')::integer >= 140000 AS "tellsSince"`;
    expect(session.waiting).toEqual({
      lock: 'relation',
      mode: 'AccessExclusiveLock',
      object: 'public.orders',
      ms: tellsSince ? expect.any(Number) : null,
      blockers: [
        {
          pid: blocker.pid,
          role: 'postgres',
          application: 'web',
          state: 'idle in transaction',
          openMs: expect.any(Number),
          isOwn: false,
        },
      ],
    });
    expect(session.waitEvent).toBe('Lock: relation');
    expect(session.statement).toBe('ALTER TABLE orders ADD COLUMN more text');
  });

  test('those that wait for a session that itself waits for nothing are counted too', async () => {
    const migration = await ofLease();
    await migration.sql.unsafe('BEGIN; LOCK TABLE orders');
    const reader = await open('reader');
    begin(reader.sql, 'SELECT count(*) FROM orders');
    const session = await until('it waits', migration.pid, ({ queued }) => queued === 1);
    expect(session).toMatchObject({ state: 'idle in transaction', waiting: null });
  });

  test('for a row: in which table', async () => {
    const blocker = await open('web');
    await blocker.sql.unsafe('BEGIN; UPDATE orders SET note = note WHERE id = 1');
    const migration = await ofLease();
    begin(migration.sql, "UPDATE orders SET note = 'secret' WHERE id = 1");
    const session = await until('it waits', migration.pid, ({ waiting }) => waiting !== null);
    expect(session.waiting).toMatchObject({
      lock: 'transactionid',
      object: 'public.orders',
      blockers: [{ pid: blocker.pid }],
    });
  });

  test('for another session of the same command', async () => {
    const [first, second] = [await ofLease(), await ofLease()];
    await first.sql.unsafe('BEGIN; LOCK TABLE orders');
    begin(second.sql, 'SELECT count(*) FROM orders');
    const session = await until('it waits', second.pid, ({ waiting }) => waiting !== null);
    expect(session.waiting?.blockers).toMatchObject([{ pid: first.pid, isOwn: true }]);
    expect((await read()).map(({ queued }) => queued)).toEqual([0, 0]);
  });

  test('in CREATE INDEX CONCURRENTLY, for an old transaction: with its progress', async () => {
    const blocker = await open('web');
    await blocker.sql.unsafe('BEGIN; UPDATE orders SET note = note WHERE id = 2');
    const migration = await ofLease();
    begin(migration.sql, 'CREATE INDEX CONCURRENTLY ON orders (id)');
    const session = await until(
      'it waits',
      migration.pid,
      ({ waiting, progress }) => waiting !== null && progress?.phase === 'waiting for writers before build',
    );
    expect(session.waiting).toMatchObject({ lock: 'virtualxid', blockers: [{ pid: blocker.pid }] });
    expect(session.progress).toEqual({
      command: 'CREATE INDEX CONCURRENTLY',
      object: 'public.orders',
      phase: 'waiting for writers before build',
      done: 0,
    });
  });
});
