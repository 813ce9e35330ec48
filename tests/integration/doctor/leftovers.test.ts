import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, startCli } from '../../support/run-cli.js';
import { doctor } from './doctor.js';

let server: EmbeddedServer;
let db: TestDatabase;

beforeAll(async () => {
  server = await startServer({ settings: { max_prepared_transactions: 5 } });
  db = await createDatabase(server.url);
}, 60_000);
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await db.drop();
  await server.stop();
});

test('an INVALID index, with the statements that build or drop it', async () => {
  await db.sql`CREATE TABLE orders AS SELECT 1 AS id FROM generate_series(1, 2)`;
  await expect(db.sql`CREATE UNIQUE INDEX CONCURRENTLY orders_id ON orders (id)`).rejects.toMatchObject({
    code: '23505',
  });
  const { of, code } = await doctor(db.url);
  expect(of('invalid-indexes')).toMatchObject({
    status: 'warn',
    detail: 'public.orders_id (on orders)',
    hint: expect.stringContaining('DROP INDEX CONCURRENTLY public.orders_id'),
  });
  expect(code).toBe(0);
  await db.sql`DROP TABLE orders`;
  expect((await doctor(db.url)).of('invalid-indexes').status).toBe('ok');
});

test('a prepared transaction, with the statements that end it', async () => {
  await db.sql.begin(async (sql) => {
    await sql`CREATE TABLE held (id integer)`;
    await sql`PREPARE TRANSACTION 'left behind'`;
  });
  expect((await doctor(db.url)).of('prepared-transactions')).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('left behind'),
    hint: expect.stringContaining("ROLLBACK PREPARED 'left behind'"),
  });
  await db.sql`ROLLBACK PREPARED 'left behind'`;
});

test("a tool's own lock is a warning, unless a run holds the lock", async () => {
  await db.sql`CREATE TABLE knex_migrations_lock AS SELECT 1 AS index, 1 AS is_locked`;
  expect((await doctor(db.url)).of('tool-locks')).toMatchObject({
    status: 'warn',
    detail: 'public.knex_migrations_lock is taken (knex)',
    hint: expect.stringContaining("--recover 'npx knex migrate:unlock'"),
  });
  const run = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
  await run.waitForEvent('child.started');
  expect((await doctor(db.url)).of('tool-locks').status).toBe('ok');
  run.kill('SIGTERM');
  await run.done;
  await db.sql`DROP TABLE knex_migrations_lock`;
});

test('the mark of an unclean end', async () => {
  const run = startCli(['run', '--', 'sleep', '1001'], { env: { DATABASE_URL: db.url } });
  await run.waitForEvent('child.started');
  run.kill('SIGTERM');
  await run.done;
  expect((await doctor(db.url)).of('unclean-ends')).toMatchObject({
    status: 'warn',
    detail: expect.stringContaining('sleep 1001 (it was ended by a signal'),
    hint: expect.stringContaining('--recover'),
  });
});
