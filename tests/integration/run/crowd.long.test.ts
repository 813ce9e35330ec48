import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli, startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const INTERVAL = new URL('../../support/fixtures/interval.mjs', import.meta.url).pathname;

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(async () => {
  await db.sql.unsafe(`
    DROP SCHEMA IF EXISTS migrate_lock CASCADE;
    DROP TABLE IF EXISTS ran;
    CREATE TABLE ran (instance_id text, during tstzrange, EXCLUDE USING gist (during WITH &&))`);
});
afterEach(() => assertNothingLeft());
afterAll(() => db.drop());

function crowd(size: number, args: string[]) {
  return Promise.all(
    Array.from({ length: size }, () => runCli(['run', ...args], { env: { DATABASE_URL: db.url } })),
  );
}

test('200 first starts at the same instant on an empty database all succeed', async () => {
  const results = await crowd(200, ['--wait-timeout', '4m', '--ttl', '60s', '--', 'true']);
  expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
  const events = results.flatMap((result) => result.events);
  expect(events.filter(({ event }) => event === 'schema.applied')).toHaveLength(1);
  expect(events.filter(({ event }) => event === 'error')).toEqual([]);
  const tokens =
    await db.sql`SELECT DISTINCT fencing_token FROM migrate_lock.migration_lock_audit WHERE event = 'lock.acquired'`;
  expect(tokens).toHaveLength(200);
}, 240_000);

test('50 processes at once: no two children overlap, which a constraint in the database checks', async () => {
  const results = await crowd(50, ['--wait-timeout', '4m', '--', 'node', INTERVAL]);
  expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
  const [ran] =
    await db.sql`SELECT count(*)::int AS n, count(DISTINCT instance_id)::int AS instances FROM ran WHERE NOT upper_inf(during)`;
  expect(ran).toEqual({ n: 50, instances: 50 });
}, 240_000);

test('without the lock the same children overlap, and the constraint fails', async () => {
  const started: RunningCli[] = [];
  await db.sql.begin(async (sql) => {
    // Until all have come, none gets further: a slow machine starts them one after the other.
    await sql`LOCK TABLE ran`;
    for (let count = 0; count < 10; count++)
      started.push(startCli([], { program: [INTERVAL], env: { DATABASE_URL: db.url } }));
    const waiting = () => db.sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO ran%'`;
    await waitFor('all of them', async () => (await waiting()).length === started.length, {
      limitMs: 60_000,
    });
  });
  const results = await Promise.all(started.map(({ done }) => done));
  expect(
    results.some(({ stderr }) => stderr.includes('conflicting key value violates exclusion constraint')),
  ).toBe(true);
}, 120_000);
