import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { classify, errorCode } from '../../../src/db/classify.js';
import { explain } from '../../../src/db/explain.js';
import { BorrowedDatabase } from '../../../src/db/borrowed-database.js';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { OwnDatabase } from '../../../src/db/own-database.js';
import { codedError } from '../../../src/db/socket.js';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { hasPooler, startPooler, type Pooler } from '../../support/pooler.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { startTranslator, type Translator } from '../../support/translator.js';

// The messages for a database that cannot be used: the reason, and what to do.

let db: TestDatabase;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-explain-'));
});
afterEach(() => assertNothingLeft());
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
});

const CAN_WAIT = ['run', '--wait-timeout', '20s', '--', 'true'];
async function run(url: string, env: Record<string, string> = {}, args = CAN_WAIT) {
  const { code, stderr } = await runCli(args, { env: { DATABASE_URL: url, HOME: folder, ...env } });
  return { code, stderr };
}
const withoutPassword = (url: string) => url.replace(/:[^:@/]+@/, '@');

describe('an error on this machine', () => {
  test('host is a file', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const { code, stderr } = await run(`postgres://u:p@/d?host=${file}`);
    expect(code).toBe(64);
    expect(stderr).toContain(`ENOTDIR`);
    expect(stderr).toContain('folder of a Unix socket');
    expect(stderr).not.toContain('The database reported');
  });

  // Root may search every folder.
  (process.getuid?.() === 0 ? test.skip : test)('host names a folder that may not be searched', async () => {
    const closed = join(folder, 'closed');
    mkdirSync(closed, { mode: 0o000 });
    const { code, stderr } = await run(`postgres://u:p@/d?host=${closed}`);
    chmodSync(closed, 0o700);
    expect(code).toBe(64);
    expect(stderr).toMatch(/EACCES.*\n.*this user may search it/);
  });

  test('host is a folder whose socket path is too long, and whose cut path is another socket', async () => {
    const { code, stderr } = await run(`postgres://u:p@/d?host=/${'x'.repeat(110)}`);
    expect(code).toBe(64);
    expect(stderr).toContain('too long for a Unix socket');
  });

  test('an error of Node is not reported as one of the database', () => {
    const { message } = explain(codedError('ERR_SOMETHING', 'it did not work'), 'u@h/d', 's');
    expect(message).toBe('The connection to the database failed (u@h/d): it did not work.');
  });
});

describe('a server that is not PostgreSQL', () => {
  const MYSQL = Buffer.concat([
    Buffer.from([0x4a, 0, 0, 0, 0x0a]),
    Buffer.from('8.0.36\0xxxxxxxxxxxxxxxxxxxx'),
  ]);
  test.each<[string, string | Buffer, boolean]>([
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', false],
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', true],
    ['MySQL', MYSQL, true],
    ['Redis', '-ERR unknown command\r\n', false],
    ['one letter', 'x', false],
  ])('%s', async (_, answer, speaksFirst) => {
    const sockets: net.Socket[] = [];
    const server = net.createServer((socket) => {
      sockets.push(socket.on('error', () => undefined));
      if (speaksFirst) socket.write(answer);
      else socket.once('data', () => socket.write(answer));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    for (const sslmode of ['prefer', 'disable', 'require']) {
      const { code, stderr } = await run(`postgres://u:p@127.0.0.1:${port}/d?sslmode=${sslmode}`);
      expect({ sslmode, code, stderr }).toMatchObject({
        code: 78,
        stderr: expect.stringContaining('does not speak the PostgreSQL protocol'),
      });
      expect(stderr).toContain('something else listens there');
      expect(stderr).not.toContain('Unknown');
    }
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

describe('a refused login', () => {
  test('without the CONNECT right exits with 77', async () => {
    const role = await db.createRole();
    await db.sql.unsafe(`REVOKE CONNECT ON DATABASE ${db.name} FROM PUBLIC`);
    const { code, stderr } = await run(role.url);
    await db.sql.unsafe(`GRANT CONNECT ON DATABASE ${db.name} TO PUBLIC`);
    expect(code).toBe(77);
    expect(stderr).toContain('GRANT CONNECT ON DATABASE');
    expect(stderr).not.toContain('init');
  });

  test('without a password exits with 78', async () => {
    const { code, stderr } = await run(withoutPassword(db.url));
    expect(code).toBe(78);
    expect(stderr).toContain('none was given');
    for (const place of ['PGPASSWORD', 'PGPASSFILE', join(folder, '.pgpass')])
      expect(stderr).toContain(place);
    expect(stderr).not.toContain('percent-encoded');
  });

  test('with a password file that has no matching line names the file', async () => {
    writeFileSync(join(folder, '.pgpass'), 'other:*:*:*:secret\n', { mode: 0o600 });
    const { code, stderr } = await run(withoutPassword(db.url));
    rmSync(join(folder, '.pgpass'));
    expect(code).toBe(78);
    expect(stderr).toMatch(/none was given \(the password file .* has no line for it\)/);
  });
});

describe('an event trigger that forbids CREATE SCHEMA', () => {
  test.each([
    ['', 77],
    [" USING ERRCODE = 'feature_not_supported'", 77],
    [" USING ERRCODE = 'insufficient_privilege'", 77],
  ])('%j', async (using, exitCode) => {
    await db.sql.unsafe(`
      CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ask the platform team'${using}; END $$;
      CREATE EVENT TRIGGER forbid ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION forbid()`);
    const { code, stderr } = await run(db.url);
    await db.sql.unsafe('DROP EVENT TRIGGER forbid; DROP FUNCTION forbid()');
    expect(code).toBe(exitCode);
    expect(stderr).toContain('ask the platform team');
    expect(stderr).toContain('migrate-lock init');
    expect(stderr).not.toContain('replica');
  });
});

describe('SQLSTATE 0A000 does not mean a replica', () => {
  const STATEMENT = `DO $$ BEGIN RAISE EXCEPTION 'nothing of the kind' USING ERRCODE = 'feature_not_supported'; END $$`;
  const call = { name: 'ask', statement: STATEMENT, parameters: [], limitMs: 5_000 };

  test.each(['own', 'borrowed'] as const)('on a primary, with a connection of %s', async (whose) => {
    const sql = postgres(db.url, { max: 1, onnotice: () => undefined });
    const database =
      whose === 'own'
        ? new OwnDatabase(readConnectionConfig({ url: db.url, env: {} }))
        : new BorrowedDatabase(sql);
    const error = await database.call(call).catch((thrown: unknown) => thrown);
    expect(errorCode(error)).toBe('0A000');
    expect(explain(error, 'u@h/d', 's')).toMatchObject({ code: 'DATABASE_FAULT' });
    expect(explain(error, 'u@h/d', 's').hint).not.toContain('replica');
    database.disconnect();
    await sql.end();
  });
});

/** The severity is translated too in some languages: Polish. */
describe.each([
  ['German', 'FATAL', 'hier steht etwas auf Deutsch'],
  ['Polish', 'KATASTROFALNY', 'po polsku'],
])('a server that reports errors in %s', (_, severity, message) => {
  let translator: Translator;
  beforeAll(async () => {
    const { hostname, port } = new URL(serverUrl());
    translator = await startTranslator({ host: hostname, port: Number(port) }, { severity, message });
  });
  afterAll(() => translator.close());

  const through = (change: (url: URL) => void) => translator.through(db.urlWith(change));

  test('works', async () => {
    expect(await run(through(() => undefined))).toMatchObject({ code: 0 });
    await db.sql`DROP SCHEMA migrate_lock CASCADE`;
  });

  test.each<[string, (url: URL) => void, number, RegExp]>([
    ['a wrong password', (url) => (url.password = 'wrong'), 78, /Check the user and the password/],
    ['no such database', (url) => (url.pathname = '/no_such'), 78, /Create it first/],
    ['no password', (url) => (url.password = ''), 78, /none was given/],
  ])('%s', async (_, change, exitCode, said) => {
    const { code, stderr } = await run(through(change));
    expect({ code, stderr }).toMatchObject({ code: exitCode, stderr: expect.stringMatching(said) });
  });

  test('a missing CONNECT right is recognized', async () => {
    const role = await db.createRole();
    await db.sql.unsafe(`REVOKE CONNECT ON DATABASE ${db.name} FROM PUBLIC`);
    const { code, stderr } = await run(translator.through(role.url));
    await db.sql.unsafe(`GRANT CONNECT ON DATABASE ${db.name} TO PUBLIC`);
    expect({ code, stderr }).toMatchObject({ code: 77, stderr: expect.stringContaining('GRANT CONNECT') });
    expect(stderr).toContain(message);
  });
});

(hasPooler ? describe : describe.skip)('a pooler', () => {
  let poolers: Record<'statement' | 'transaction', Pooler>;
  beforeAll(async () => {
    const [statement, transaction] = await Promise.all([
      startPooler(serverUrl(), { settings: { pool_mode: 'statement' } }),
      startPooler(serverUrl()),
    ]);
    poolers = { statement, transaction };
  });
  afterAll(async () => {
    await Promise.all(Object.values(poolers).map((pooler) => pooler.stop()));
  });

  test('in statement pooling mode: exits with 78 at once, with the reason', async () => {
    const startedAtMs = performance.now();
    const { code, stderr } = await run(poolers.statement.through(db.url));
    expect({ code, stderr }).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('statement pooling mode'),
    });
    expect(stderr).toContain('pool_mode = transaction');
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
  });

  test.each([
    ['PGOPTIONS', {}, { PGOPTIONS: '-c work_mem=64kB' }],
    ['options in the database URL', { options: '-c work_mem=64kB' }, {}],
  ])('that refuses %s names it', async (name, parameters, env) => {
    const url = new URL(poolers.transaction.through(db.url));
    for (const [parameter, value] of Object.entries(parameters)) url.searchParams.set(parameter, value);
    const { code, stderr } = await run(url.href.replaceAll('+', '%20'), env);
    expect({ code, stderr }).toMatchObject({
      code: 78,
      stderr: expect.stringContaining(`does not take ${name}:`),
    });
    expect(stderr).toContain('ignore_startup_parameters');
  });

  test('that passes on a missing CONNECT right and a missing password', async () => {
    const role = await db.createRole();
    await db.sql.unsafe(`REVOKE CONNECT ON DATABASE ${db.name} FROM PUBLIC`);
    const denied = await run(poolers.transaction.through(role.url));
    await db.sql.unsafe(`GRANT CONNECT ON DATABASE ${db.name} TO PUBLIC`);
    expect(denied).toMatchObject({ code: 77, stderr: expect.stringContaining('GRANT CONNECT') });
    const nameless = await run(withoutPassword(poolers.transaction.through(role.url)));
    expect(nameless).toMatchObject({ code: 78, stderr: expect.stringContaining('none was given') });
  });
});

test.each([
  ['08P01', 'transaction blocks not allowed in statement pooling mode', 'STATEMENT_POOLING', 'refused'],
  ['08P01', 'client connections exceeded (max_db_client_connections)', '53300', 'unavailable'],
  ['08P01', 'pooler is shutting down', '57P03', 'unavailable'],
  ['08P01', 'permission denied for database "d"', '42501', 'denied'],
  ['08P01', 'unsupported startup parameter in options: work_mem', '08P01', 'refused'],
  [
    '08P01',
    'server login has been failing, cached error: connect timeout (server_login_retry)',
    '08006',
    'unavailable',
  ],
  ['08006', 'odyssey: c1: failed to get remote server connection', '08006', 'unavailable'],
  ['58000', 'could not get connection from the pool - AllServersDown', '08006', 'unavailable'],
  ['58000', 'No pool configured for database: "d", user: "u"', '3D000', 'refused'],
  ['XX000', '(EMAXCONN) max clients reached in session mode', '53300', 'unavailable'],
  ['XX000', 'Tenant or user not found', '28000', 'refused'],
  ['XX000', 'could not open file', 'XX000', 'fault'],
  [
    '0A000',
    "Feature not supported: RDS Proxy currently doesn't support command-line options.",
    '08P01',
    'refused',
  ],
  ['28P01', 'Passwort-Authentifizierung fehlgeschlagen', '28P01', 'refused'],
])('FATAL %s %p means %s', (code, message, meant, kind) => {
  const error = Object.assign(new Error(message), { code, severity_local: 'FATAL' });
  expect(errorCode(error)).toBe(meant);
  expect(classify(error)).toBe(kind);
  // An ERROR is the server's own.
  expect(
    errorCode(Object.assign(new Error(message), { code, severity_local: 'ERROR', severity: 'ERROR' })),
  ).toBe(code);
});
