import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { doctor } from './doctor.js';

let server: EmbeddedServer;
let db: TestDatabase;

beforeAll(async () => {
  // No other session takes a transaction id.
  server = await startServer({ settings: { autovacuum: 'off' } });
  db = await createDatabase(server.url);
}, 60_000);
afterEach(() => assertNothingLeft());
afterAll(async () => {
  await db.drop();
  await server.stop();
});

/** Every row of pg_class, the rows of the history, and the next transaction id: reads take none. */
async function stateOf() {
  const [counts] = await db.sql`SELECT txid_snapshot_xmax(txid_current_snapshot())::text AS next_xid`;
  const classes = await db.sql`SELECT oid, relname, xmin::text FROM pg_class ORDER BY oid`;
  const [lock] = await db.sql`SELECT to_regclass('migrate_lock.migration_lock_audit') IS NOT NULL AS used`;
  const history =
    lock?.used === true ? await db.sql`SELECT * FROM migrate_lock.migration_lock_audit ORDER BY id` : [];
  return { counts, classes: [...classes], history: [...history] };
}

test.each(['before the first run', 'after a run'])(
  'doctor changes nothing in the database: %s',
  async (when) => {
    if (when === 'after a run')
      expect((await runCli(['run', '--', 'true'], { env: { DATABASE_URL: db.url } })).code).toBe(0);
    const before = await stateOf();
    expect((await doctor(db.url)).code).toBe(0);
    expect(await stateOf()).toEqual(before);
  },
);

test('the comparison sees one statement that takes a transaction id', async () => {
  const before = await stateOf();
  await db.sql`CREATE TEMPORARY TABLE one (id integer)`;
  expect(await stateOf()).not.toEqual(before);
});
