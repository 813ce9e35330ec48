import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { openLock, tryToAcquire } from '../../support/lock.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

// A server of this test becomes a replica. It has nothing to replay.
let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;

beforeAll(async () => {
  server = await startServer();
  db = await createDatabase(server.url);
});
afterEach(() => assertNothingLeft());
afterAll(() => server.stop());

test('a replica shows the holder, and says that it does not know the waiters', async () => {
  const lock = await openLock(db.url);
  const { me } = await tryToAcquire(lock);
  lock.database.disconnect();
  await db.sql.end({ timeout: 1 });
  await server.halt('fast');
  writeFileSync(join(server.dataDirectory, 'standby.signal'), '');
  await server.start();

  const status = (...args: string[]) =>
    runCli(['status', ...args], { env: { DATABASE_URL: db.url }, auditOnly: false });
  const { code, stdout } = await status('--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    state: 'held',
    lease: { instanceId: me.instanceId },
    waiters: [],
    watchers: null,
    isReplica: true,
  });
  expect(await status()).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringContaining('This is a replica'),
  });
});
