import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { BorrowedDatabase } from '../../../src/db/borrowed-database.js';
import { isRdsProxy } from '../../../src/db/pooler.js';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { LIMIT_MS, openDatabase, openLock } from '../../support/lock.js';
import { hasPgpool, startPgpool, type Pgpool } from '../../support/pgpool.js';
import { LockCalls } from '../../../src/lock/calls.js';

(hasPgpool ? describe : describe.skip)('pgpool', () => {
  let db: TestDatabase;
  let pgpool: Pgpool;
  beforeAll(async () => {
    db = await createDatabase();
    pgpool = await startPgpool([serverUrl()]);
    (await openLock(db.url)).database.disconnect();
  });
  afterAll(async () => {
    await pgpool.stop();
    await db.drop();
  });
  test('is recognized', async () => {
    const database = openDatabase(pgpool.through(db.url));
    const calls = new LockCalls(database, 'migrate_lock');
    expect(await calls.cleanup()).toMatchObject({ leases: 0 });
    expect(database.isPooled).toBe(true);
    database.disconnect();
  });
});
