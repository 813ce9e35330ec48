import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DEFINITION } from '../../../src/schema/apply.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { CALLABLE } from './callable.js';
import { execute } from './execute.js';
import { FOUND } from './found.js';
import { modelDefinition } from './model-schema.js';
import { applyModelSchema, RealLock } from './real-lock.js';
import { MODEL_LIMIT_MS, MODEL_RUNS, replayable, SEED } from './runs.js';
import { run, type Step } from './steps.js';

let db: TestDatabase;
let real: RealLock;
let attacker: RealLock;

beforeAll(async () => {
  db = await createDatabase();
  const role = await db.createRole();
  await applyModelSchema(db.url, 'migrate_lock', { role: role.name });
  real = new RealLock(db.url, 'migrate_lock');
  attacker = new RealLock(role.url, 'migrate_lock');
});
afterAll(async () => {
  await Promise.all([real.end(), attacker.end()]);
  await db.drop();
});

test(
  `the SQL functions answer as the model does, in ${MODEL_RUNS} runs (seed ${SEED})`,
  async () => {
    await fc.assert(
      fc.asyncProperty(run, (steps) => execute(steps, real, attacker)),
      { ...replayable(MODEL_RUNS), examples: FOUND.map((steps) => [[...steps]] as [Step[]]) },
    );
  },
  MODEL_LIMIT_MS,
);

test('the model has every function that an admitted role may call', async () => {
  const rows = await db.sql<{ proname: string; parameters: string[] }[]>`
    SELECT proname, coalesce(proargnames, '{}') AS parameters FROM pg_proc
     WHERE pronamespace = 'migrate_lock'::regnamespace AND has_function_privilege(${attacker.dbRole}, oid, 'EXECUTE')`;
  expect(Object.fromEntries(rows.map(({ proname, parameters }) => [proname, parameters]))).toEqual(
    Object.fromEntries(Object.entries(CALLABLE).map(([name, parameters]) => [name, Object.keys(parameters)])),
  );
});

test("the tested SQL is the product's, except for the clock", () => {
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
