import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { hasPooler, startPooler, type Pooler, type PoolerOptions } from '../../support/pooler.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

let db: TestDatabase;
let pooler: Pooler;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(async () => {
  if (hasPooler) await pooler.stop();
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

async function crowd(size: number, options: PoolerOptions) {
  pooler = await startPooler(serverUrl(), options);
  const env = { DATABASE_URL: pooler.through(db.url) };
  return Promise.all(
    Array.from({ length: size }, () =>
      runCli(['run', '--wait-timeout', '4m', '--ttl', '60s', '--', 'true'], { env }),
    ),
  );
}

/** Each lease began after the release of the one before. */
async function expectOneByOne(size: number): Promise<void> {
  const [found] = await db.sql`
    SELECT count(*)::int AS leases, count(*) FILTER (WHERE began < lag)::int AS overlaps
      FROM (SELECT began, lag(ended) OVER (ORDER BY began)
              FROM (SELECT min(at) FILTER (WHERE event = 'lock.acquired') AS began,
                           max(at) FILTER (WHERE event = 'lock.released') AS ended
                      FROM migrate_lock.migration_lock_audit GROUP BY fencing_token) AS lease) AS ordered`;
  expect(found).toEqual({ leases: size, overlaps: 0 });
}

(hasPooler ? describe : describe.skip)('behind a pooler', () => {
  test('100 runs over five server sessions all get their turn', async () => {
    const results = await crowd(100, { poolSize: 5 });
    expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
    await expectOneByOne(100);
    const [sessions] = await db.sql`
      SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = ${db.name} AND application_name = 'migrate-lock'`;
    expect(sessions?.n).toBeLessThanOrEqual(5);
  }, 240_000);

  test('runs that a pooler has no place for try again', async () => {
    const results = await crowd(30, { poolSize: 1, settings: { max_client_conn: 5 } });
    expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
    expect(results.flatMap(({ events }) => events)).toContainEqual(
      expect.objectContaining({ event: 'database.unavailable', code: '53300' }),
    );
    await expectOneByOne(30);
  }, 240_000);
});
