import { afterAll, beforeAll, test } from '@jest/globals';
import fc from 'fast-check';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { bursts, executeBursts } from './burst.js';
import { executeOverlap, overlap } from './overlap.js';
import { applyModelSchema, RealLock } from './real-lock.js';
import { MODEL_LIMIT_MS, MODEL_RUNS, replayable, SEED } from './runs.js';

/** Five that race, one that acts in between, one that looks. */
const CONNECTIONS = 7;

let db: TestDatabase;
let locks: RealLock[] = [];

beforeAll(async () => {
  db = await createDatabase();
  await applyModelSchema(db.url, 'migrate_lock');
  locks = Array.from({ length: CONNECTIONS }, () => new RealLock(db.url, 'migrate_lock'));
});
afterAll(async () => {
  await Promise.all(locks.map((lock) => lock.end()));
  await db.drop();
});

const runs = Math.ceil(MODEL_RUNS / 5);

test(
  `one of several attempts at the same instant gets the lease, in ${runs} runs (seed ${SEED})`,
  async () => {
    await fc.assert(
      fc.asyncProperty(bursts, (rounds) => executeBursts(rounds, locks)),
      replayable(runs),
    );
  },
  MODEL_LIMIT_MS,
);

test(
  `other attempts answer correctly while one is stopped in its transaction, in ${runs} runs (seed ${SEED})`,
  async () => {
    await fc.assert(
      fc.asyncProperty(overlap, (scenario) => executeOverlap(scenario, locks)),
      replayable(runs),
    );
  },
  MODEL_LIMIT_MS,
);
