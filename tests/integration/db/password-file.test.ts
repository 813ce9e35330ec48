import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { runCli } from '../../support/run-cli.js';

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-pgpass-'));
  file = join(folder, '.pgpass');
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(content: string, mode = 0o600): void {
  writeFileSync(file, content);
  chmodSync(file, mode);
}
const read = (url: string, env = {}) => readConnectionConfig({ url, env: { HOME: folder, ...env } });
const found = (url: string, env = {}) => read(url, env).hosts.map(({ password }) => password);

describe('the matching line of a password file', () => {
  test.each<[string, string, string | undefined]>([
    ['h:5432:d:u:pw', 'postgres://u@h/d', 'pw'],
    ['h:5432:d:u:pw\r\n', 'postgres://u@h/d', 'pw'],
    ['*:*:*:*:pw', 'postgres://u@h/d', 'pw'],
    ['#h:5432:d:u:no\nx:5432:d:u:no\nh:5432:d:u:first\n*:*:*:*:second', 'postgres://u@h/d', 'first'],
    ['h:5433:d:u:pw', 'postgres://u@h/d', undefined],
    ['h:5432:d:u', 'postgres://u@h/d', undefined],
    ['H:5432:d:u:pw', 'postgres://u@h/d', undefined],
    ['h:5432:d:u:a\\:b\\\\c:not this', 'postgres://u@h/d', 'a:b\\c'],
    ['h:5432:d\\:e:u:pw', 'postgres://u@h/d%3Ae', 'pw'],
    ['\\*:5432:d:u:pw', 'postgres://u@h/d', undefined],
    ['localhost:5432:d:u:pw', 'postgres://u@%2Fvar%2Frun%2Fpostgresql/d', 'pw'],
    ['/run/x:5432:d:u:pw', 'postgres://u@%2Frun%2Fx/d', 'pw'],
  ])('%j for %s', (content, url, expected) => {
    write(content);
    expect(found(url)).toEqual([expected]);
  });

  test('is chosen for each host, and all passwords are secret', () => {
    write('h1:1:d:u:one\nh2:2:d:u:two\n');
    expect(found('postgres://u@h1:1,h2:2/d')).toEqual(['one', 'two']);
    expect(read('postgres://u@h1:1,h2:2/d').secrets).toEqual(['one', 'two']);
  });
});

test('a given password comes first; passfile and PGPASSFILE come before ~/.pgpass', () => {
  write('*:*:*:*:pw');
  expect(found('postgres://u:given@h/d')).toEqual([undefined]);
  expect(found('postgres://u@h/d', { PGPASSWORD: 'given' })).toEqual([undefined]);
  expect(found('postgres://u@h/d', { PGPASSFILE: join(folder, 'none') })).toEqual([undefined]);
  expect(found(`postgres://u@h/d?passfile=${file}`, { PGPASSFILE: join(folder, 'none') })).toEqual(['pw']);
});

test('a file that others may read is not used', () => {
  write('*:*:*:*:pw', 0o640);
  expect(read('postgres://u@h/d')).toMatchObject({ passwordFile: { unusable: expect.any(String) } });
  expect(found('postgres://u@h/d')).toEqual([undefined]);
});

describe('on a server', () => {
  let server: EmbeddedServer;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.stop());

  const run = () => {
    const { host, port, user } = server;
    const env = {
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGDATABASE: 'postgres',
      PGPASSFILE: file,
    };
    return runCli(['run', '--', 'true'], { env });
  };

  test('the built program uses it, and names it when its password was refused', async () => {
    write(`127.0.0.1:*:postgres:${server.user}:${server.password}\n`);
    expect(await run()).toMatchObject({ code: 0 });
    write(`*:*:*:*:wrong-password\n`);
    const wrong = await run();
    expect(wrong).toMatchObject({ code: 78, stderr: expect.stringContaining(`${file} was read`) });
    expect(wrong.stderr + wrong.stdout).not.toContain('wrong-password');
    chmodSync(file, 0o644);
    expect(await run()).toMatchObject({ code: 78, stderr: expect.stringContaining('chmod 600') });
  });

  test('works over a Unix socket', async () => {
    const { socketDirectory, port, user, password } = server;
    write(`${socketDirectory}:${port}:postgres:${user}:${password}\n`);
    const url = `postgres://${user}@${encodeURIComponent(socketDirectory)}:${port}/postgres?passfile=${file}`;
    expect(await runCli(['run', '--', 'true'], { env: { DATABASE_URL: url } })).toMatchObject({ code: 0 });
  });
});
