import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DEFINITION } from '../../src/schema/apply.js';
import { createDatabase, type TestDatabase } from '../harness/database.js';
import { execute } from './execute.js';
import { FOUND } from './found.js';
import { modelDefinition } from './model-schema.js';
import { applyModelSchema, RealLock } from './real-lock.js';
import { MODEL_LIMIT_MS, MODEL_RUNS, replayable, SEED } from './runs.js';
import { run, type Step } from './steps.js';

let db: TestDatabase;
let real: RealLock;

beforeAll(async () => {
  db = await createDatabase();
  await applyModelSchema(db.url, 'migrate_lock');
  real = new RealLock(db.url, 'migrate_lock');
});
afterAll(async () => {
  await real.end();
  await db.drop();
});

test(
  `the SQL functions answer as the model does, in ${MODEL_RUNS} runs (seed ${SEED})`,
  async () => {
    await fc.assert(
      fc.asyncProperty(run, (steps) => execute(steps, real)),
      { ...replayable(MODEL_RUNS), examples: FOUND.map((steps) => [[...steps]] as [Step[]]) },
    );
  },
  MODEL_LIMIT_MS,
);

test("what is tested is the product's own text, but for the clock", () => {
  const original = ({ sql }: { sql: string }) =>
    sql.replaceAll('"migrate_lock".model_clock()', 'clock_timestamp()');
  expect(modelDefinition().functions.map(original)).toEqual(DEFINITION.functions.map(({ sql }) => sql));
});

test('no function reads another clock', () => {
  const otherClocks =
    /\b(now\s*\(|current_timestamp|current_time|current_date|localtime|transaction_timestamp|timeofday)/i;
  for (const { name, sql } of modelDefinition().functions) {
    expect({ name, clock: otherClocks.exec(sql.replaceAll(/--.*$/gm, ''))?.[0] }).toEqual({ name });
    expect(sql).not.toContain('clock_timestamp()');
  }
});
