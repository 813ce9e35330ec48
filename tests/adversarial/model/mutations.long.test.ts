import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { execute } from './execute.js';
import type { Mutation } from './model-schema.js';
import { EQUIVALENT, FOUND_BY_OVERLAPS, FOUND_BY_THE_MODEL } from './mutations.js';
import { executeOverlap, overlap } from './overlap.js';
import { applyModelSchema, lockAt, RealLock } from './real-lock.js';
import { SEED } from './runs.js';
import { run } from './steps.js';

/** Most are found within a dozen runs; the rarest needs 300 on average (a waiter's secret, known to another role). */
const MOST_RUNS = 4000;
const EQUIVALENT_RUNS = 10;
const CONNECTIONS = 5;
const LIMIT_MS = 300_000;

let db: TestDatabase;
let role: TestRole;
let schemas = 0;

beforeAll(async () => {
  db = await createDatabase();
  role = await db.createRole();
});
afterAll(() => db.drop());

/** Applies the mutated functions and opens the connections that the work needs. */
async function withMutant<T>(mutation: Mutation, work: (locks: RealLock[]) => Promise<T>): Promise<T> {
  const schema = `mutant_${++schemas}`;
  await applyModelSchema(db.url, schema, { mutation, role: role.name });
  const locks = Array.from({ length: CONNECTIONS }, () => new RealLock(db.url, schema));
  try {
    return await work(locks);
  } finally {
    await Promise.all(locks.map((lock) => lock.end()));
  }
}

/** No shrinking: only the failure matters here. */
const firstFailure = (numRuns: number) => ({ numRuns, seed: SEED, endOnFailure: true });

async function modelFails(locks: RealLock[], numRuns: number): Promise<boolean> {
  const real = lockAt(locks, 0);
  const attacker = new RealLock(role.url, real.schema);
  try {
    const property = fc.asyncProperty(run, (steps) => execute(steps, real, attacker));
    return (await fc.check(property, firstFailure(numRuns))).failed;
  } finally {
    await attacker.end();
  }
}

async function overlapsFail(locks: RealLock[], numRuns: number): Promise<boolean> {
  const property = fc.asyncProperty(overlap, (scenario) => executeOverlap(scenario, locks));
  return (await fc.check(property, firstFailure(numRuns))).failed;
}

describe('the model detects', () => {
  test.each(FOUND_BY_THE_MODEL.map((mutation) => [mutation.name, mutation] as const))(
    '%s',
    async (_, mutation) => {
      expect(await withMutant(mutation, (locks) => modelFails(locks, MOST_RUNS))).toBe(true);
    },
    LIMIT_MS,
  );
});

describe('an attempt that is stopped in its transaction detects', () => {
  test.each(FOUND_BY_OVERLAPS.map((mutation) => [mutation.name, mutation] as const))(
    '%s',
    async (_, mutation) => {
      expect(await withMutant(mutation, (locks) => overlapsFail(locks, MOST_RUNS))).toBe(true);
    },
    LIMIT_MS,
  );
});

describe('the model does not report a mutation that changes nothing', () => {
  test.each(EQUIVALENT.map((mutation) => [`${mutation.name}: ${mutation.reason}`, mutation] as const))(
    '%s',
    async (_, mutation) => {
      await withMutant(mutation, async (locks) => {
        expect(await modelFails(locks, EQUIVALENT_RUNS)).toBe(false);
        expect(await overlapsFail(locks, EQUIVALENT_RUNS)).toBe(false);
      });
    },
    LIMIT_MS,
  );
});

test('a mutation at an unknown mark is refused', async () => {
  const stale: Mutation = { name: 'stale', edits: [{ mark: 'not-there', to: '' }] };
  await expect(applyModelSchema(db.url, 'stale', { mutation: stale })).rejects.toThrow(
    'there is no mark not-there',
  );
});
