import { afterAll, beforeAll, expect, test } from '@jest/globals';
import postgres from 'postgres';
import type { OwnDatabase } from '../../../src/db/own-database.js';
import { databaseLeftovers } from '../../../src/recover/leftovers.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { openDatabase } from '../../support/lock.js';
import { waitFor } from '../../support/wait-for.js';

/** What the holder reports of a cut-off migration: nothing of it is changed. */

let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;
let database: OwnDatabase;

beforeAll(async () => {
  server = await startServer({ settings: { max_prepared_transactions: 5 } });
  db = await createDatabase(server.url);
  database = openDatabase(db.url);
}, 60_000);
afterAll(async () => {
  database.disconnect();
  await db.drop();
  await server.stop();
});

const indexes = async () => (await databaseLeftovers(database))?.indexes ?? [];

test('an INVALID index is reported with what builds it or drops it, and both work as they stand', async () => {
  await db.sql.unsafe(`
    CREATE SCHEMA "App 1";
    CREATE TABLE "App 1"."Users" (email text);
    INSERT INTO "App 1"."Users" VALUES ('a'), ('a')`);
  expect(await databaseLeftovers(database)).toBeNull();
  const create = 'CREATE UNIQUE INDEX CONCURRENTLY "Mail ""x""" ON "App 1"."Users" (email)';
  await expect(db.sql.unsafe(create)).rejects.toMatchObject({ code: '23505' });
  const [found, ...others] = await indexes();
  expect(others).toEqual([]);
  expect(found).toEqual({
    schema: 'App 1',
    table: 'Users',
    name: 'Mail "x"',
    drop: 'DROP INDEX CONCURRENTLY "App 1"."Mail ""x"""',
    reindex: 'REINDEX INDEX CONCURRENTLY "App 1"."Mail ""x"""',
  });
  // The duplicates are still there: what REINDEX CONCURRENTLY leaves can only be dropped.
  await expect(db.sql.unsafe(found?.reindex ?? '')).rejects.toMatchObject({ code: '23505' });
  expect(await indexes()).toMatchObject([
    { name: 'Mail "x"', reindex: expect.any(String) },
    { name: 'Mail "x"_ccnew', reindex: null, drop: 'DROP INDEX CONCURRENTLY "App 1"."Mail ""x""_ccnew"' },
  ]);
  for (const { drop } of await indexes()) await db.sql.unsafe(drop ?? '');
  expect(await databaseLeftovers(database)).toBeNull();
});

test('an index that a session is building is not reported, and is once that session is gone', async () => {
  await db.sql`CREATE TABLE slow (id integer)`;
  const builder = postgres(db.url, { max: 1, onnotice: () => undefined });
  const blocker = postgres(db.url, { max: 1 });
  try {
    await blocker`BEGIN`;
    await blocker`INSERT INTO slow VALUES (1)`;
    const [session] = await builder`SELECT pg_backend_pid() AS pid`;
    const building = builder`CREATE INDEX CONCURRENTLY slow_id ON slow (id)`.execute().catch(() => undefined);
    await waitFor('the index is INVALID', async () => {
      const found =
        await db.sql`SELECT FROM pg_index WHERE indexrelid = to_regclass('slow_id') AND NOT indisvalid`;
      return found.length > 0;
    });
    expect(await databaseLeftovers(database)).toBeNull();
    await db.sql`SELECT pg_terminate_backend(${Number(session?.pid)})`;
    await building;
    expect(await waitFor('it is reported', () => databaseLeftovers(database))).toMatchObject({
      indexes: [{ schema: 'public', table: 'slow', name: 'slow_id' }],
      preparedTransactions: null,
    });
  } finally {
    await blocker.end({ timeout: 1 });
    await builder.end({ timeout: 1 });
  }
  await db.sql`DROP TABLE slow`;
});

test('an index of a constraint is not offered to be dropped, and an exclusion constraint not to be built concurrently', async () => {
  await db.sql.unsafe(`
    CREATE TABLE booked (id integer PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&));
    UPDATE pg_index SET indisvalid = false WHERE indrelid = 'booked'::regclass`);
  expect(await indexes()).toEqual([
    {
      ...{ schema: 'public', table: 'booked', name: 'booked_during_excl', drop: null },
      reindex: 'REINDEX INDEX public.booked_during_excl',
    },
    {
      ...{ schema: 'public', table: 'booked', name: 'booked_pkey', drop: null },
      reindex: 'REINDEX INDEX CONCURRENTLY public.booked_pkey',
    },
  ]);
  for (const { reindex } of await indexes()) await db.sql.unsafe(reindex ?? '');
  expect(await databaseLeftovers(database)).toBeNull();
});

test('a partitioned index that lacks partitions is not a leftover', async () => {
  await db.sql.unsafe(`
    CREATE TABLE parted (id integer) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    CREATE INDEX parted_id ON ONLY parted (id)`);
  expect(await databaseLeftovers(database)).toBeNull();
});

test('prepared transactions of our role are reported, those of others are not', async () => {
  const role = await db.createRole();
  await db.sql`GRANT CREATE ON SCHEMA public TO public`;
  const other = postgres(role.url, { max: 1 });
  const ours = postgres(db.url, { max: 1 });
  try {
    await ours.unsafe(`BEGIN; CREATE TABLE of_us (); PREPARE TRANSACTION 'it''s'`);
    await other.unsafe(`BEGIN; CREATE TABLE of_others (); PREPARE TRANSACTION 'other'`);
    expect(await databaseLeftovers(database)).toEqual({
      indexes: null,
      preparedTransactions: [
        {
          gid: "it's",
          role: 'postgres',
          preparedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
          commit: "COMMIT PREPARED 'it''s'",
          rollback: "ROLLBACK PREPARED 'it''s'",
        },
      ],
    });
    const theirs = openDatabase(role.url);
    expect((await databaseLeftovers(theirs))?.preparedTransactions).toMatchObject([{ gid: 'other' }]);
    theirs.disconnect();
    await ours`ROLLBACK PREPARED 'it''s'`;
    await other`ROLLBACK PREPARED 'other'`;
    expect(await databaseLeftovers(database)).toBeNull();
  } finally {
    await ours.end();
    await other.end();
  }
});
