import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { LockCalls } from '../../../src/lock/calls.js';
import { openDatabase } from '../../support/lock.js';
import { openStage, poll, release, sqlState, type Stage } from './stage.js';

let stage: Stage;
let watcher: LockCalls;
let hostile: postgres.Sql;

beforeAll(async () => {
  stage = await openStage();
  watcher = new LockCalls(openDatabase(stage.app.url), 'migrate_lock');
  hostile = stage.as(stage.other);
});
afterEach(() => stage.db.sql`DELETE FROM migrate_lock.migration_lock_watcher`);
afterAll(async () => {
  watcher.database.disconnect();
  await stage.close();
});

const KEY = 'release 1';
const look = () => watcher.watch(KEY, 'mine', false);
const announce = (times: number) => hostile`
  SELECT migrate_lock.watch(${KEY}, 'false ' || n, false) FROM generate_series(1, ${times}::integer) AS n`;

test('an admitted role watches; one that is not admitted cannot, and no role reads or writes the table', async () => {
  expect(await look()).toMatchObject({ done: false, watchers: 1 });
  const stranger = stage.as(stage.stranger);
  expect(await sqlState(stranger`SELECT migrate_lock.watch(${KEY}, 'mine', false)`)).toBe('42501');
  for (const role of [stage.app, stage.other, stage.stranger]) {
    const session = stage.as(role);
    expect(await sqlState(session`SELECT FROM migrate_lock.migration_lock_watcher`)).toBe('42501');
    expect(await sqlState(session`SELECT migrate_lock.count_watchers('mine', false)`)).toBe('42501');
  }
});

test('a role that does not hold the lease makes no watcher of another role succeed', async () => {
  await look();
  // Under the name of the watcher, as if it were the end of the work, and without holding the lease.
  await hostile`SELECT migrate_lock.watch(${KEY}, 'mine', true)`;
  expect(await stage.db.sql`SELECT db_role FROM migrate_lock.migration_lock_watcher`).toMatchObject([
    { db_role: stage.app.name },
  ]);
  const id = 'the holder';
  const held = { p_instance_id: id, p_run_key: KEY, p_command_sha256: 'sha' };
  expect(await poll(stage.as(stage.app), held)).toMatchObject({ outcome: 'acquired' });
  const done = { p_succeeded: true, p_work_exit_code: 0, p_duration_ms: 1 };
  expect(await release(hostile, id, 's', done)).toMatchObject({ outcome: 'refused' });
  expect(await release(hostile, id, 'a guess', done)).toMatchObject({ outcome: 'refused' });
  expect(await look()).toMatchObject({ done: false, success: null, isAwaited: true, watchers: 1 });
});

test('a role takes no place of a watcher of another role, and slows the others down by 1000 at most', async () => {
  await look();
  await announce(1_500);
  await hostile`SELECT migrate_lock.watch(${KEY}, 'mine', false)`;
  expect(await look()).toMatchObject({ watchers: 1_001 });
  const [rows] = await stage.db.sql`
    SELECT count(*)::int AS of_other, (SELECT count(*)::int FROM migrate_lock.migration_lock_watcher WHERE db_role = ${stage.app.name})
        AS of_app FROM migrate_lock.migration_lock_watcher WHERE db_role = ${stage.other.name}`;
  expect(rows).toEqual({ of_other: 1_000, of_app: 1 });
});

test('a read needs few rows, with 100,000 keys, and with 100,000 commands under its key', async () => {
  const { sql } = stage.db;
  // Two kinds: those of other keys, and those of one key. Without statistics PostgreSQL does not know that.
  for (const [key, command] of [
    ["repeat('x', 500) || n", "'sha'"],
    ["'crowded'", 'sha256(n::text::bytea)::text'],
  ] as const) {
    await sql.unsafe(`
      INSERT INTO migrate_lock.migration_lock_run
        (run_key, command_sha256, succeeded, exit_code, finished_at, duration_ms, instance_id, fencing_token, db_role)
      SELECT ${key}, ${command}, true, 0, now() - n * interval '1 s', 1, 'i', 1, 'r' FROM generate_series(1, 100000) AS n`);
  }
  await sql.unsafe(`
    INSERT INTO migrate_lock.migration_lock_waiter
      (instance_id, secret_sha256, arrived_at, counts_until, db_role, run_key, command_sha256, listens)
    SELECT 'i' || n, '', now(), now() + interval '1 h', 'r', 'crowded', sha256(n::text::bytea)::text, false
      FROM generate_series(1, 1000) AS n`);
  try {
    for (const [key, isAnalyzed] of [
      ['crowded', false],
      ['unknown', false],
      ['crowded', true],
    ] as const) {
      if (isAnalyzed) await sql`ANALYZE migrate_lock.migration_lock_run`;
      const read = await sql.begin(async (session) => {
        const [answer] = await session`SELECT migrate_lock.watch(${key}, 'mine', true) AS said`;
        expect(answer?.said).toMatchObject({ done: key === 'crowded', isAwaited: false });
        const [rows] = await session<{ read: number }[]>`
          SELECT (seq_tup_read + idx_tup_fetch)::int AS read FROM pg_stat_xact_user_tables WHERE relname = 'migration_lock_run'`;
        return rows?.read;
      });
      expect(read).toBeLessThan(5_000);
    }
  } finally {
    await sql`DELETE FROM migrate_lock.migration_lock_run`;
    await sql`DELETE FROM migrate_lock.migration_lock_waiter`;
  }
});

test('a missing or too long argument is refused', async () => {
  for (const [key, name] of [
    [null, 'mine'],
    [KEY, null],
    ['', 'mine'],
    [KEY, 'x'.repeat(201)],
    ['x'.repeat(2_601), 'mine'],
  ] as const) {
    expect(await sqlState(hostile`SELECT migrate_lock.watch(${key}, ${name}, false)`)).toBe('ML001');
  }
});
