import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';

// The lock is taken in the named database, or not at all: never on localhost instead.

let server: EmbeddedServer;
beforeAll(async () => {
  server = await startServer();
});
afterEach(() => assertNothingLeft());
afterAll(() => server.stop());

/** The test server takes the part of a server on localhost: PGPORT leads to it, as 5432 does on many machines. */
const env = () => ({ PGPORT: String(server.port), PGHOST: '127.0.0.1' });
const userinfo = () => `${server.user}:${server.password}`;

test.each([
  ['unix_sock', 'postgresql://<user>@/postgres?unix_sock=/srv/sock/.s.PGSQL.5432'],
  [
    'socketFactory',
    'postgresql://<user>@127.0.0.1/postgres?socketFactory=com.google.cloud.sql.postgres.SocketFactory',
  ],
  ['cloudSqlInstance', 'jdbc:postgresql://<user>@/postgres?cloudSqlInstance=p:r:i'],
  ['service', 'postgresql://<user>@/?service=shop'],
])('%s is not ignored: exits with 64, and runs nothing', async (named, url) => {
  const DATABASE_URL = url.replace('<user>', userinfo());
  const { code, stderr, events } = await runCli(['run', '--', 'true'], {
    env: { DATABASE_URL, HOME: '/nonexistent', ...env() },
  });
  expect({ code, events }).toEqual({ code: 64, events: [] });
  expect(stderr).toContain(named);
  expect(stderr).not.toContain(server.password);
});

test('a socket and TCP reach the same lock', async () => {
  const { socketDirectory, port } = server;
  expect(existsSync(`${socketDirectory}/.s.PGSQL.${port}`)).toBe(true);
  const tcp = `postgres://${userinfo()}@127.0.0.1:${port}/postgres`;
  const socket = `postgres://${userinfo()}@:${port}/postgres?host=${socketDirectory}`;
  const holder = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: tcp } });
  await holder.waitForEvent('child.started');
  const { code } = await runCli(['run', '--wait-timeout', '0', '--', 'true'], {
    env: { DATABASE_URL: socket },
  });
  expect(code).toBe(75);
  holder.kill('SIGTERM');
  await holder.done;
});

test('harmless parameters are ignored with a notice', async () => {
  const DATABASE_URL = `postgres://${userinfo()}@127.0.0.1:${server.port}/postgres?schema=public&pgbouncer&options[search_path]=x`;
  const { code, stderr } = await runCli(['run', '--', 'true'], { env: { DATABASE_URL } });
  expect(code).toBe(0);
  expect(stderr).toContain('ignored parameters of the database URL: schema, pgbouncer, options[search_path]');
});
