import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { startServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

// A server of this file restarts, and becomes a replica. It has nothing to replay.
let server: Awaited<ReturnType<typeof startServer>>;
let db: TestDatabase;

beforeAll(async () => {
  server = await startServer();
  db = await createDatabase(server.url);
});
afterEach(() => assertNothingLeft());
afterAll(() => server.stop());

test('a wait goes on through a crash of the server', async () => {
  const env = { DATABASE_URL: db.url };
  await runCli(['init'], { env });
  const waiting = startCli(['wait', '--once', 'release 0'], { env });
  const question = () => db.sql`SELECT FROM migrate_lock.migration_lock_watcher`;
  await waitFor('it is announced', async () => (await question()).length === 1);
  await server.kill();
  await waiting.waitForEvent('database.unavailable');
  await server.start();
  expect(await runCli(['run', '--once', 'release 0', '--', 'true'], { env })).toMatchObject({ code: 0 });
  expect(await waiting.done).toMatchObject({ code: 0 });
});

test('a role that is admitted waits on a replica: the work is done there too, or it is not', async () => {
  const role = await db.createRole();
  expect(await runCli(['init', '--grant-to', role.name], { env: { DATABASE_URL: db.url } })).toMatchObject({
    code: 0,
  });
  expect(
    await runCli(['run', '--once', 'release 1', '--', 'true'], { env: { DATABASE_URL: role.url } }),
  ).toMatchObject({ code: 0 });
  await db.sql.end({ timeout: 1 });
  await server.halt('fast');
  writeFileSync(join(server.dataDirectory, 'standby.signal'), '');
  await server.start();

  const wait = (key: string) =>
    runCli(['wait', '--once', key, '--wait-timeout', '300ms', '--', 'true'], {
      env: { DATABASE_URL: role.url },
    });
  expect(await wait('release 1')).toMatchObject({ code: 0 });
  expect(await wait('release 2')).toMatchObject({
    code: 75,
    stderr: expect.stringContaining('no run of it is known'),
  });
});
