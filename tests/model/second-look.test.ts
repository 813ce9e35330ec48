import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { waitFor } from '../harness/wait-for.js';
import type { Answer } from './calls.js';
import type { Mutation } from './model-schema.js';
import { FOUND_BETWEEN_LOOKS } from './mutations.js';
import { leaseOf, request, someone } from './overlap.js';
import { applyModelSchema, lockAt, RealLock } from './real-lock.js';

const START_US = 1e12;
const LEASE_MS = 500;
/** Any number: the database is the file's own. */
const GATE = 7;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterAll(() => db.drop());

/**
 * Where a session has set `model.reads_before_gate`, telling the time, after so many times, waits as long as somebody holds
 * the gate: so a call stops between reading the row and comparing its end with the clock. (lock_timeout: acquire() allows two
 * seconds only.)
 */
const gatedClock = (schema: string): string => `
  ALTER FUNCTION "${schema}".model_clock() RENAME TO model_time;
  CREATE FUNCTION "${schema}".model_clock() RETURNS timestamptz LANGUAGE plpgsql VOLATILE SET lock_timeout = 0
  AS $body$
  DECLARE
      told timestamptz := "${schema}".model_time();
  BEGIN
      IF current_setting('model.reads_before_gate', true) = '0' THEN
          PERFORM pg_advisory_xact_lock_shared(${GATE});
      ELSIF current_setting('model.reads_before_gate', true) <> '' THEN
          PERFORM set_config('model.reads_before_gate', (current_setting('model.reads_before_gate')::int - 1)::text, false);
      END IF;
      RETURN told;
  END
  $body$;`;

interface Outcome {
  slow: Answer;
  nextToken: number;
  /** Whether the migration of the one who came in between could commit. */
  committed: boolean;
}

/**
 * A slow waiter has read a lease that is over. Before it locks the row somebody else takes over, and is at work in an
 * assert_held transaction, which the slow one must not take for an orphan.
 */
async function comeInBetween(schema: string, mutation?: Mutation): Promise<Outcome> {
  await applyModelSchema(db.url, schema, mutation);
  await db.sql.unsafe(gatedClock(schema));
  const locks = Array.from({ length: 3 }, () => new RealLock(db.url, schema));
  const [slow, quick, observer] = [lockAt(locks, 0), lockAt(locks, 1), lockAt(locks, 2)];
  const migration = postgres(db.url, { max: 1, onnotice: () => undefined });
  const gate = await db.sql.reserve();
  try {
    await observer.setClock(START_US);
    await observer.poll(someone(), request(LEASE_MS));
    await observer.setClock(START_US + LEASE_MS * 1000);
    // The attempt is counted first.
    await slow.sql`SET model.reads_before_gate = 1`;
    await gate`SELECT pg_advisory_lock(${GATE})`;
    const polled = slow.poll(someone(), request(LEASE_MS));
    await waitFor('the slow one to be between its looks', async () => {
      return (await observer.countWaiting([slow])) === 1;
    });

    const next = someone();
    const nextToken = leaseOf(await quick.poll(next, request(LEASE_MS))).fencingToken;
    await migration.unsafe('BEGIN');
    const [session] = await migration<{ pid: number }[]>`
      SELECT pg_backend_pid() AS pid, ${migration(schema)}.assert_held(${next.instanceId}, ${nextToken})`;
    await gate`SELECT pg_advisory_unlock(${GATE})`;
    const answer = await polled;
    const lives = async (): Promise<boolean> => {
      return (await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${session?.pid ?? 0}`).length === 1;
    };
    // Who is told to end does so a moment later; and postgres.js fails by itself when it is asked after that.
    if (hasOrphans(answer)) await waitFor('its end', async () => !(await lives()));
    const committed = (await lives()) && (await migration.unsafe('COMMIT')).command === 'COMMIT';
    return { slow: answer, nextToken, committed };
  } finally {
    await gate`SELECT pg_advisory_unlock_all()`;
    gate.release();
    await Promise.all([...locks.map((lock) => lock.end()), migration.end({ timeout: 1 })]);
  }
}

const hasOrphans = (answer: Answer): boolean => typeof answer === 'object' && 'orphans' in answer;

test('between two looks at an expired lease somebody else takes over, and is left alone', async () => {
  const { slow, nextToken, committed } = await comeInBetween('between_looks');
  expect(slow).toMatchObject({ outcome: 'held', holder: { fencingToken: nextToken } });
  expect(slow).not.toHaveProperty('orphans');
  expect(committed).toBe(true);
});

describe('that shows', () => {
  test.each(FOUND_BETWEEN_LOOKS.map((mutation) => [mutation.name, mutation] as const))(
    '%s',
    async (_, mutation) => {
      const { slow, committed } = await comeInBetween('between_looks_mutated', mutation);
      expect(slow).toHaveProperty('orphans');
      expect(committed).toBe(false);
    },
  );
});
