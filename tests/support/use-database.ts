import { afterAll, afterEach, beforeAll } from '@jest/globals';
import { createDatabase, type TestDatabase } from './database.js';
import { assertNothingLeft } from './run-cli.js';

/** A database for the test file. Each test begins without the lock schema, and may leave no process behind. */
export function useDatabase(made: (db: TestDatabase) => void): void {
  let db: TestDatabase;
  beforeAll(async () => {
    db = await createDatabase();
    made(db);
  });
  afterEach(async () => {
    await assertNothingLeft();
    await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  });
  afterAll(() => db.drop());
}
