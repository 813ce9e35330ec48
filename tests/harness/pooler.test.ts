import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { createDatabase, serverUrl, type TestDatabase } from './database.js';
import { hasPooler, startPooler, type Pooler } from './pooler.js';

let db: TestDatabase;
let pooler: Pooler;

(hasPooler ? describe : describe.skip)('a pooler', () => {
beforeAll(async () => {
  db = await createDatabase();
  pooler = await startPooler(serverUrl());
});
afterAll(async () => {
  await pooler.stop();
  await db.drop();
});
test('x', async () => {
  const role = await db.createRole();
  for (const connection of [{ application_name: '' }, {default_transaction_isolation: 'read committed'}]) {
  const sql = postgres(pooler.through(role.url), { max: 1, connection });
  const rows = await sql`SELECT current_user, pg_backend_pid(), current_setting('application_name') AS n`.catch((e) => e);
  console.log(rows, rows.state);
  await sql.end();
  }
  for (const change of [(u) => (u.password = 'no'), (u) => (u.username = 'nobody'), (u) => (u.pathname = '/nodb')]) {
  const sql = postgres(pooler.through(db.urlWith(change)), { max: 1 });
  const rows = await sql`SELECT current_user, pg_backend_pid(), current_setting('application_name') AS n`.catch((e) => e);
  console.log(rows.code, rows.message);
  await sql.end();
  }
  console.log(pooler.log());
});
});
