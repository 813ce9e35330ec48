import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { classify, errorCode } from '../../../src/db/classify.js';
import type { OwnDatabase } from '../../../src/db/own-database.js';
import { BorrowedDatabase } from '../../../src/db/borrowed-database.js';
import type { Database } from '../../../src/db/database.js';
import { CALLS } from '../../../src/generated/sql.js';
import { LockCalls } from '../../../src/lock/calls.js';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { LIMIT_MS, openDatabase, openLock } from '../../support/lock.js';
import { DROPS_SETTINGS, hasPooler, startPooler, type Pooler } from '../../support/pooler.js';

test.each([
  ['no more connections allowed (max_client_conn)', '53300', 'unavailable'],
  ['sorry, too many clients already', '53300', 'unavailable'],
  ['the database system is starting up', '57P03', 'unavailable'],
  ['server login has been failing, try again later (server_login_retry)', '08006', 'unavailable'],
  ['query_wait_timeout', '08006', 'unavailable'],
  ['das Datenbanksystem startet', '08006', 'unavailable'],
  ['SASL authentication failed', '28P01', 'refused'],
  ['no such user: "u"', '28P01', 'refused'],
  ['no such database: x', '3D000', 'refused'],
  ['database "x" does not exist', '3D000', 'refused'],
  ['unsupported startup parameter: options', '08P01', 'refused'],
])("PgBouncer's 08P01 with %p means %s", (message, code, kind) => {
  const error = Object.assign(new Error(message), { code: '08P01', severity_local: 'FATAL' });
  expect(errorCode(error)).toBe(code);
  expect(classify(error)).toBe(kind);
});

test("the server's own 08P01 stays as it is", () => {
  const error = Object.assign(new Error('bind message supplies 1 parameters, but needs 2'), {
    code: '08P01',
    severity_local: 'ERROR',
  });
  expect(errorCode(error)).toBe('08P01');
});

(hasPooler ? describe : describe.skip)('a pooler in front of the server is recognized', () => {
  let db: TestDatabase;
  let poolers: Record<'refuses' | 'drops', Pooler>;
  beforeAll(async () => {
    db = await createDatabase();
    const [refuses, drops] = await Promise.all([
      startPooler(serverUrl()),
      startPooler(serverUrl(), { settings: DROPS_SETTINGS }),
    ]);
    poolers = { refuses, drops };
    (await openLock(db.url)).database.disconnect();
  });
  afterAll(async () => {
    await Promise.all(Object.values(poolers).map((pooler) => pooler.stop()));
    await db.drop();
  });

  /** The first query of this process: the meaning of `auto` must not depend on earlier calls. */
  async function expectPooled(database: Database, isPooled: boolean): Promise<void> {
    const calls = new LockCalls(database, 'migrate_lock');
    expect(await calls.cleanup()).toMatchObject({ leases: 0 });
    expect(database.isPooled).toBe(isPooled);
    expect(calls.endsOrphans).toBe(!isPooled);
    expect(await database.findPooler(LIMIT_MS)).toBe(isPooled);
    database.disconnect();
  }

  test.each(['directly', 'refuses', 'drops'] as const)('on a connection of migrate-lock: %s', async (way) => {
    const url = way === 'directly' ? db.url : poolers[way].through(db.url);
    const database: OwnDatabase = openDatabase(url);
    await expectPooled(database, way !== 'directly');
  });

  test.each(['refuses', 'drops'] as const)('each call reads its precondition: %s', async (way) => {
    const database = openDatabase(poolers[way].through(db.url));
    let reads = 0;
    const check = () => ({ storesUnicode: true, owner: `read ${++reads}` });
    const asked = { name: 'ask', statement: 'SELECT 1 AS answer', parameters: [], limitMs: LIMIT_MS };
    const precondition = { statement: CALLS.backend, check };
    for (let n = 0; n < 3; n++) await database.call({ ...asked, precondition });
    expect(reads).toBe(3);
    database.disconnect();
  });

  test.each(['directly', 'refuses', 'drops'] as const)("on the application's instance: %s", async (way) => {
    const url = way === 'directly' ? db.url : poolers[way].through(db.url);
    const sql = postgres(url, { max: 1, onnotice: () => undefined });
    await expectPooled(new BorrowedDatabase(sql), way !== 'directly');
    await sql.end();
  });
});
