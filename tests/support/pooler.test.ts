import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { createDatabase, serverUrl, type TestDatabase } from './database.js';
import { hasPooler, startPooler } from './pooler.js';
import { isAlive } from './processes.js';

let db: TestDatabase;

(hasPooler ? describe : describe.skip)('a pooler', () => {
  beforeAll(async () => {
    db = await createDatabase();
  });
  afterAll(() => db.drop());

  test('shares few server sessions among many clients of any role, and leaves nothing', async () => {
    const pooler = await startPooler(serverUrl(), { poolSize: 2 });
    const role = await db.createRole();
    const clients = Array.from({ length: 10 }, () =>
      postgres(pooler.through(role.url), { max: 1, fetch_types: false, onnotice: () => undefined }),
    );
    const answers = await Promise.all(
      clients.map((sql) => sql`SELECT current_user AS role, pg_backend_pid() AS pid, pg_sleep(0.01)`),
    );
    expect(new Set(answers.map(([row]) => row?.role as string))).toEqual(new Set([role.name]));
    expect(new Set(answers.map(([row]) => row?.pid as number)).size).toBeLessThanOrEqual(2);
    expect(await pooler.clients(db.name)).toHaveLength(10);
    await Promise.all(clients.map((sql) => sql.end()));

    const folder = dirname(pooler.logFile);
    expect(statSync(join(folder, 'users')).mode & 0o777).toBe(0o600);
    await pooler.stop();
    expect(existsSync(folder)).toBe(false);
    expect(isAlive(pooler.pid)).toBe(false);
  });
});
