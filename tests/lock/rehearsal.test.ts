import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import type { LockCalls } from '../../src/lock/calls.js';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { openLock, tryToAcquire } from '../harness/lock.js';
import { waitFor } from '../harness/wait-for.js';

const LEASE_MS = 3_600_000;
const REHEARSALS = {
  'of an acquisition': `SELECT migrate_lock.acquire_free(false, NULL, NULL, NULL, 'secret', 1000, '{}') AS answer`,
  'of the very first one': `SELECT migrate_lock.acquire_free(true, NULL, NULL, NULL, 'secret', 1000, '{}') AS answer`,
  'of a release': `SELECT migrate_lock.release(NULL, 'secret', '{"orphans": "terminate"}', '{"run": {}}') AS answer`,
} as const;

let db: TestDatabase;
let lock: LockCalls;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(async () => {
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  lock = await openLock(db.url);
});
afterAll(() => db.drop());

const STATES: Record<string, () => Promise<unknown>> = {
  'that nobody ever had': () => Promise.resolve(),
  'that is held': () => tryToAcquire(lock, { ttlMs: LEASE_MS }),
  'that was released': async () => lock.release((await tryToAcquire(lock)).me),
  'that ran out': async () => {
    await tryToAcquire(lock, { ttlMs: LEASE_MS });
    await db.sql`UPDATE migrate_lock.migration_lock
                    SET locked_at = locked_at - interval '1 day', expires_at = expires_at - interval '1 day'`;
  },
};

/** All that is stored of the lock. */
async function everything(): Promise<string> {
  const [row] = await db.sql<{ all: string }[]>`
    SELECT concat_ws(E'\n',
             table_to_xml('migrate_lock.migration_lock', true, true, ''),
             table_to_xml('migrate_lock.migration_lock_audit', true, true, ''),
             table_to_xml('migrate_lock.migration_lock_chain', true, true, ''),
             table_to_xml('migrate_lock.migration_lock_waiter', true, true, ''),
             table_to_xml('migrate_lock.migration_lock_client', true, true, ''),
             table_to_xml('migrate_lock.migration_lock_run', true, true, ''),
             (SELECT last_value FROM migrate_lock.migration_lock_fencing_token_seq),
             (SELECT last_value FROM migrate_lock.migration_lock_audit_id_seq)) AS all`;
  return row?.all ?? '';
}

/** In one transaction, so that what it would have written or locked shows. */
async function rehearse(sql: postgres.ReservedSql, statement: string): Promise<unknown> {
  await sql`BEGIN`;
  try {
    const [row] = await sql.unsafe<{ answer: { outcome: string } }[]>(statement);
    const [state] = await sql<{ written: string | null }[]>`SELECT txid_current_if_assigned() AS written`;
    return { outcome: row?.answer.outcome, written: state?.written };
  } finally {
    await sql`COMMIT`;
  }
}

describe.each(Object.entries(STATES))('a rehearsal, on a lock %s', (_, prepare) => {
  test.each(Object.entries(REHEARSALS))('%s, changes nothing and locks no row', async (__, statement) => {
    await prepare();
    const before = await everything();
    const session = await db.sql.reserve();
    const other = await db.sql.reserve();
    try {
      expect(await rehearse(session, statement)).toEqual({ outcome: 'rehearsed', written: null });
      // Nor does it wait for who has locked the row, as an acquisition that hangs has.
      await other`BEGIN`;
      await other`SELECT FROM migrate_lock.migration_lock FOR UPDATE`;
      await session`SET lock_timeout = '1ms'`;
      expect(await rehearse(session, statement)).toEqual({ outcome: 'rehearsed', written: null });
    } finally {
      await other`ROLLBACK`;
      await session`RESET lock_timeout`;
      other.release();
      session.release();
    }
    expect(await everything()).toBe(before);
  });
});

test('nobody is notified by the rehearsal of a release', async () => {
  const heard: string[] = [];
  const listening = await db.sql.listen('migrate_lock', (payload) => heard.push(payload));
  await db.sql.unsafe(REHEARSALS['of a release']);
  // Notifications come in the order of their transactions, over a connection of their own.
  await db.sql`SELECT pg_notify('migrate_lock', 'the next one')`;
  await waitFor('a notification', () => heard.length > 0);
  expect(heard).toEqual(['the next one']);
  await listening.unlisten();
});

test.each([
  ['acquire', `acquire(NULL, 'secret', 1000, '{}', '{}')`],
  ['poll', `poll(NULL, 'secret', 1000, '{}', '{}', 1000, false)`],
  ['enter', `enter(4, NULL, 'secret', 1000, '{}', '{}', 1000, false)`],
])('%s() without an instance id is no rehearsal: it is refused', async (_, call) => {
  await STATES['that ran out']?.();
  const before = await everything();
  await expect(db.sql.unsafe(`SELECT migrate_lock.${call}`)).rejects.toMatchObject({ code: 'ML001' });
  expect(await everything()).toBe(before);
});
