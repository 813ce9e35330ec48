import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait-for.js';
import type { Answer } from './calls.js';
import type { Mutation } from './model-schema.js';
import { FOUND_BEFORE_THE_ROW, FOUND_BETWEEN_LOOKS } from './mutations.js';
import { acquiredLease, request, someone } from './overlap.js';
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
 * Where a session has set `model.reads_before_gate`, reading the clock waits, after so many reads, while another
 * session holds
 * the gate: so a call stops between reading the row and comparing its end with the clock. (lock_timeout: acquire()
 * allows two
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

interface Stopped {
  schema: string;
  mutation?: Mutation | undefined;
  /** How the lock becomes free at START_US + LEASE_MS. */
  before: (lock: RealLock) => Promise<unknown>;
  /** How often the slow one reads the clock before it stops. */
  reads: number;
}

/** A slow waiter has seen that the lock is free, and stops before it locks the row. */
async function stopBetweenLooks<T>(
  { schema, mutation, before, reads }: Stopped,
  meanwhile: (quick: RealLock, goOn: () => Promise<Answer>) => Promise<T>,
): Promise<T> {
  await applyModelSchema(db.url, schema, { mutation });
  await db.sql.unsafe(gatedClock(schema));
  const locks = Array.from({ length: 3 }, () => new RealLock(db.url, schema));
  const [slow, quick, observer] = [lockAt(locks, 0), lockAt(locks, 1), lockAt(locks, 2)];
  const gate = await db.sql.reserve();
  try {
    await observer.setClock(START_US);
    await before(observer);
    await observer.setClock(START_US + LEASE_MS * 1000);
    await slow.sql`SELECT set_config('model.reads_before_gate', ${String(reads)}, false)`;
    await gate`SELECT pg_advisory_lock(${GATE})`;
    const polled = slow.poll(someone(), request(LEASE_MS));
    await waitFor('the slow one to be between its looks', async () => {
      return (await observer.countWaiting([slow])) === 1;
    });
    return await meanwhile(quick, async () => {
      await gate`SELECT pg_advisory_unlock(${GATE})`;
      return polled;
    });
  } finally {
    await gate`SELECT pg_advisory_unlock_all()`;
    gate.release();
    await Promise.all(locks.map((lock) => lock.end()));
  }
}

interface Outcome {
  slow: Answer;
  nextToken: number;
  /** Whether the migration of the client in between could commit. */
  committed: boolean;
}

/**
 * The lease has expired. In between another client takes over, and is in an assert_held transaction, which the slow one
 * must not mistake for an orphan.
 */
async function takeOverInBetween(schema: string, mutation?: Mutation): Promise<Outcome> {
  const migration = postgres(db.url, { max: 1, onnotice: () => undefined });
  const before = (lock: RealLock): Promise<unknown> => lock.poll(someone(), request(LEASE_MS));
  try {
    // The attempt is counted first.
    return await stopBetweenLooks({ schema, mutation, before, reads: 1 }, async (quick, goOn) => {
      const next = someone();
      const nextToken = acquiredLease(await quick.poll(next, request(LEASE_MS))).fencingToken;
      await migration.unsafe('BEGIN');
      const [session] = await migration<{ pid: number }[]>`
        SELECT pg_backend_pid() AS pid, ${migration(schema)}.assert_held(${next.instanceId}, ${nextToken})`;
      const slow = await goOn();
      const lives = async (): Promise<boolean> => {
        return (await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${session?.pid ?? 0}`).length === 1;
      };
      // A terminated session ends a moment later; and postgres.js fails by itself when it is used after that.
      if (hasOrphans(slow)) await waitFor('its end', async () => !(await lives()));
      const committed = (await lives()) && (await migration.unsafe('COMMIT')).command === 'COMMIT';
      return { slow, nextToken, committed };
    });
  } finally {
    await migration.end({ timeout: 1 });
  }
}

/** The lease was released. In between another client acquires one, which expires: its orphans are still to be ended. */
async function runOutInBetween(
  schema: string,
  mutation?: Mutation,
): Promise<{ slow: Answer; token: number }> {
  const before = async (lock: RealLock): Promise<void> => {
    const first = someone();
    await lock.poll(first, request(LEASE_MS));
    await lock.release(first);
  };
  const edits = [...STOP_BEFORE_THE_ROW, ...(mutation?.edits ?? [])];
  const stopping = { name: mutation?.name ?? 'stops before the row', edits };
  return stopBetweenLooks({ schema, mutation: stopping, before, reads: 1 }, async (quick, goOn) => {
    const token = acquiredLease(await quick.poll(someone(), request(1))).fencingToken;
    await quick.setClock(START_US + (LEASE_MS + 1) * 1000);
    return { slow: await goOn(), token };
  });
}

/** A read of the clock, where the product has none. */
const STOP_BEFORE_THE_ROW: Mutation['edits'] = [
  { mark: 'before-the-row', to: 'PERFORM clock_timestamp(); IF NOT is_first THEN' },
];

const hasOrphans = (answer: Answer): boolean => typeof answer === 'object' && 'orphans' in answer;

test('a takeover between the two reads of an expired lease is respected', async () => {
  const { slow, nextToken, committed } = await takeOverInBetween('between_looks');
  expect(slow).toMatchObject({ outcome: 'held', holder: { fencingToken: nextToken } });
  expect(slow).not.toHaveProperty('orphans');
  expect(committed).toBe(true);
});

test('a lease that is acquired and expires between the two reads is not taken without ending its orphans', async () => {
  const { slow, token } = await runOutInBetween('run_out');
  expect(slow).toMatchObject({ outcome: 'held', holder: { fencingToken: token } });
});

describe('this detects', () => {
  test.each(FOUND_BETWEEN_LOOKS.map((mutation) => [mutation.name, mutation] as const))(
    '%s',
    async (_, mutation) => {
      const { slow, committed } = await takeOverInBetween('between_looks_mutated', mutation);
      expect(slow).toHaveProperty('orphans');
      expect(committed).toBe(false);
    },
  );

  test.each(FOUND_BEFORE_THE_ROW.map((mutation) => [mutation.name, mutation] as const))(
    '%s',
    async (_, mutation) => {
      const { slow } = await runOutInBetween('run_out_mutated', mutation);
      expect(slow).toMatchObject({ outcome: 'acquired' });
    },
  );
});
