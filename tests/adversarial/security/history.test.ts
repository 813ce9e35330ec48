import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { LockCalls } from '../../../src/lock/calls.js';
import { newIdentity } from '../../../src/lock/lease.js';
import { verifyHistory } from '../../../src/admin/verify-history.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openDatabase, openLock, tryToAcquire } from '../../support/lock.js';
import { runCli } from '../../support/run-cli.js';
import { poll } from './stage.js';

const databases: TestDatabase[] = [];
let db: TestDatabase;
let lock: LockCalls;

/** As its owner could: past the trigger that keeps the history append-only. */
async function byHand(change: (sql: postgres.Sql) => PromiseLike<unknown>): Promise<void> {
  await db.sql`ALTER TABLE migrate_lock.migration_lock_audit DISABLE TRIGGER ALL`;
  await change(db.sql);
  await db.sql`ALTER TABLE migrate_lock.migration_lock_audit ENABLE TRIGGER ALL`;
}

/** `n` leases, each acquired and released: 2 n rows of the chain. */
async function leases(n: number): Promise<void> {
  for (let at = 0; at < n; at++) await lock.release((await tryToAcquire(lock)).me);
}

const rows = () =>
  db.sql<{ event: string; details: Record<string, unknown>; db_role: string; application_name: string }[]>`
    SELECT event, details, db_role, application_name FROM migrate_lock.migration_lock_audit ORDER BY id`;

beforeEach(async () => {
  db = await createDatabase();
  databases.push(db);
  lock = await openLock(db.url);
});
afterAll(async () => {
  for (const database of databases) await database.drop();
});

describe('history --verify', () => {
  const verify = () => runCli(['history', '--verify'], { env: { DATABASE_URL: db.url }, auditOnly: false });

  test('accepts an untouched history, also an empty one, and prints its newest hash', async () => {
    expect(await verify()).toMatchObject({ code: 0, stdout: '' });
    await leases(3);
    const { code, stderr } = await verify();
    expect(code).toBe(0);
    const newest = (await lock.history(1, null)).at(-1);
    expect(stderr).toContain(`6 chained rows, the newest is ${newest?.auditHash ?? 'none'}`);
    const json = await runCli(['history', '--verify', '--json'], {
      env: { DATABASE_URL: db.url },
      auditOnly: false,
    });
    expect(JSON.parse(json.stdout)).toEqual({ rows: 6, headSeq: 6, headHash: newest?.auditHash });
  });

  test.each<[string, (sql: postgres.Sql) => PromiseLike<unknown>, string]>([
    [
      'a changed detail',
      (sql) =>
        sql`UPDATE migrate_lock.migration_lock_audit SET details = details || '{"exitCode": 1}' WHERE chain_seq = 4`,
      'changed',
    ],
    [
      'a changed time, by a microsecond',
      (sql) =>
        sql`UPDATE migrate_lock.migration_lock_audit SET at = at + interval '1 microsecond' WHERE chain_seq = 3`,
      'changed',
    ],
    [
      'a changed role',
      (sql) => sql`UPDATE migrate_lock.migration_lock_audit SET db_role = 'nobody' WHERE chain_seq = 1`,
      'changed',
    ],
    [
      'a changed hash',
      (sql) => sql`UPDATE migrate_lock.migration_lock_audit SET hash = sha256('') WHERE chain_seq = 2`,
      'changed',
    ],
    [
      'a removed row',
      (sql) => sql`DELETE FROM migrate_lock.migration_lock_audit WHERE chain_seq = 3`,
      'removed',
    ],
    [
      'the oldest row removed',
      (sql) => sql`DELETE FROM migrate_lock.migration_lock_audit WHERE chain_seq = 1`,
      'removed',
    ],
    [
      'the newest row removed',
      (sql) => sql`DELETE FROM migrate_lock.migration_lock_audit WHERE chain_seq = 8`,
      'newest 1 rows',
    ],
    ['all rows removed', (sql) => sql`DELETE FROM migrate_lock.migration_lock_audit`, 'newest 8 rows'],
    [
      'a row inserted beside the chain',
      (sql) =>
        sql`INSERT INTO migrate_lock.migration_lock_audit (event, instance_id) VALUES ('lock.acquired', 'x')`,
      'inserted',
    ],
    [
      'a row inserted at its end',
      (sql) => sql`
        INSERT INTO migrate_lock.migration_lock_audit (event, chain_seq, hash) VALUES ('lock.acquired', 9, sha256(''))`,
      'changed',
    ],
    [
      'a row inserted at its end with a hash that fits',
      (sql) => sql`
        WITH head AS (SELECT * FROM migrate_lock.migration_lock_chain), now AS (SELECT clock_timestamp() AS at)
        INSERT INTO migrate_lock.migration_lock_audit (at, event, client_addr, application_name, chain_seq, hash)
        SELECT at, 'lock.acquired', NULL, 'x', 9, sha256(head_hash || convert_to(migrate_lock.audit_text(
          9, at, 'lock.acquired', NULL, NULL, session_user, NULL, 'x', '{}'), 'UTF8')) FROM head, now`,
      'not the one that was written last',
    ],
    [
      'two rows that changed places',
      (sql) => sql`
        WITH swapped AS (SELECT chain_seq, details FROM migrate_lock.migration_lock_audit WHERE chain_seq IN (2, 4))
        UPDATE migrate_lock.migration_lock_audit AS audit SET details = swapped.details
          FROM swapped WHERE audit.chain_seq + swapped.chain_seq = 6 AND audit.chain_seq <> swapped.chain_seq`,
      'changed',
    ],
    [
      'the oldest rows removed, and the end moved after them',
      async (sql) => {
        await sql`UPDATE migrate_lock.migration_lock_chain SET tail_seq = 2,
          tail_hash = (SELECT hash FROM migrate_lock.migration_lock_audit WHERE chain_seq = 2)`;
        await sql`DELETE FROM migrate_lock.migration_lock_audit WHERE chain_seq <= 2`;
      },
      'not by cleanup',
    ],
    [
      'the ends removed',
      (sql) => sql`DELETE FROM migrate_lock.migration_lock_chain`,
      'ends of its chain are gone',
    ],
  ])('finds %s', async (_, change, words) => {
    await leases(4);
    await byHand(change);
    const { code, stderr } = await verify();
    expect(stderr).toContain(words);
    expect(code).toBe(65);
  });

  test('reads more rows than a page has, while others write', async () => {
    await leases(1);
    await byHand(
      (sql) =>
        sql`SELECT migrate_lock.record_change('lock.released', 'x', 1, '{}') FROM generate_series(1, 2500)`,
    );
    const busy = leases(20);
    const verified = await verifyHistory(new LockCalls(openDatabase(db.url), 'migrate_lock'));
    await busy;
    expect(verified.rows).toBe(verified.headSeq);
    expect(verified.rows).toBeGreaterThanOrEqual(2_502);
  });
});

describe('cleanup --keep', () => {
  const cleanup = (keep: string) => runCli(['cleanup', '--keep', keep], { env: { DATABASE_URL: db.url } });

  test('removes older rows, records that, and leaves a valid history', async () => {
    await leases(3);
    await db.sql`SELECT pg_sleep(0.01)`;
    expect((await cleanup('1ms')).code).toBe(0);
    expect(await rows()).toMatchObject([{ event: 'history.pruned', details: { rows: 6, upToSeq: 6 } }]);
    expect(await verifyHistory(lock)).toMatchObject({ rows: 1, headSeq: 7 });
    await leases(1);
    await db.sql`SELECT pg_sleep(0.01)`;
    expect((await cleanup('1ms')).code).toBe(0);
    expect(await verifyHistory(lock)).toMatchObject({ rows: 1, headSeq: 10 });
    expect((await cleanup('1d')).code).toBe(0);
    expect(await rows()).toHaveLength(1);
  });

  test('keeps the rows of a held lease', async () => {
    await leases(1);
    const { me } = await tryToAcquire(lock);
    await db.sql`SELECT pg_sleep(0.01)`;
    expect((await cleanup('1ms')).code).toBe(0);
    expect((await rows()).map(({ event }) => event)).toEqual(['lock.acquired', 'history.pruned']);
    expect(await verifyHistory(lock)).toMatchObject({ rows: 2 });
    // Its instance id is still known as used.
    await lock.release(me);
    await expect(tryToAcquire(lock, { me })).rejects.toMatchObject({ code: '23505' });
  });

  test('is the only way to remove history', async () => {
    await leases(1);
    for (const statement of ['DELETE FROM $', 'UPDATE $ SET event = event', 'TRUNCATE $'])
      await expect(
        db.sql.unsafe(statement.replace('$', 'migrate_lock.migration_lock_audit')),
      ).rejects.toMatchObject({ code: '42501' });
  });
});

describe('a change by hand', () => {
  test.each<[string, string]>([
    ['UPDATE', "UPDATE migrate_lock.migration_lock SET expires_at = expires_at + interval '1 day'"],
    ['DELETE', 'DELETE FROM migrate_lock.migration_lock'],
    ['TRUNCATE', 'TRUNCATE migrate_lock.migration_lock'],
  ])('%s is recorded in the history with the role that did it', async (operation, statement) => {
    await leases(1);
    await db.sql.unsafe(statement);
    expect((await rows()).at(-1)).toMatchObject({
      event: 'lock.manipulated',
      details: { operation },
      db_role: 'postgres',
      application_name: 'postgres.js',
    });
    expect(await verifyHistory(lock)).toMatchObject({ rows: 3 });
  });

  test('an inserted row is recorded without the hash of its secret', async () => {
    await db.sql`
      INSERT INTO migrate_lock.migration_lock (instance_id, locked_at, expires_at, secret_sha256, db_role)
      VALUES ('forged', now(), now() + interval '1 h', '', 'x')`;
    const last = (await rows()).at(-1);
    expect(last).toMatchObject({ event: 'lock.manipulated', details: { operation: 'INSERT' } });
    expect(JSON.stringify(last)).not.toContain('secret_sha256');
  });

  test('one after a call in the same transaction is recorded too', async () => {
    await db.sql.begin(async (sql) => {
      await poll(sql, { p_instance_id: 'one' });
      await sql`UPDATE migrate_lock.migration_lock SET host = 'elsewhere'`;
    });
    expect((await rows()).map(({ event }) => event)).toEqual(['lock.acquired', 'lock.manipulated']);
  });

  test("a change by the lock's functions is recorded once", async () => {
    await leases(2);
    expect(new Set((await rows()).map(({ event }) => event))).toEqual(
      new Set(['lock.acquired', 'lock.released']),
    );
  });
});

describe('refused attempts', () => {
  test('are recorded at most once a second for each kind and client', async () => {
    const { me } = await tryToAcquire(lock);
    const forged = { instanceId: me.instanceId, secret: newIdentity().secret };
    const others = Array.from({ length: 20 }, () => new LockCalls(openDatabase(db.url), 'migrate_lock'));
    await Promise.all(others.map((other) => other.status()));
    await Promise.all(others.map((other) => other.extend(forged, 1_000)));
    for (const other of others) {
      await other.release(forged);
      await other.unlock(me.instanceId, { force: false });
      other.database.disconnect();
    }
    const refused = await db.sql<{ event: string; n: number; most: number }[]>`
      SELECT event, count(*)::int AS n, ceil(extract(epoch FROM max(at) - min(at)))::int + 1 AS most
        FROM migrate_lock.migration_lock_audit WHERE chain_seq IS NULL GROUP BY event ORDER BY event`;
    expect(refused.map(({ event }) => event)).toEqual([
      'lease.extend_refused',
      'lock.release_failed',
      'lock.unlock_refused',
    ]);
    for (const { n, most } of refused) expect(n).toBeLessThanOrEqual(most);
    await lock.release(me);
  });

  test('of the same kind at the same moment leave one row', async () => {
    const kinds = Array.from({ length: 150 }, (_, n) => `kind ${n}`);
    const sessions = postgres(db.url, { max: 8, onnotice: () => undefined });
    for (const kind of kinds) {
      await Promise.all(
        Array.from(
          { length: 8 },
          () => sessions`SELECT migrate_lock.record_refusal(${kind}, ${kind}, 'somebody', '{}')`,
        ),
      );
    }
    await sessions.end({ timeout: 1 });
    const rows = await db.sql<{ n: number }[]>`
      SELECT count(*)::int AS n FROM migrate_lock.migration_lock_audit WHERE event LIKE 'kind %' GROUP BY event`;
    expect(rows.map(({ n }) => n)).toEqual(kinds.map(() => 1));
  });
});
