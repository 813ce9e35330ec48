import { spawnSync } from 'node:child_process';
import { mkdirSync, copyFileSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { explain } from '../../../src/db/explain.js';
import { OwnDatabase } from '../../../src/db/own-database.js';
import { Certificates, hasOpenssl, type Certificate } from '../../support/certificates.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { offerTls } from '../../support/tls-server.js';

// TLS with the meaning of libpq, on a server with the test's certificates; psql has to agree where it is installed.

const hasPsql = spawnSync('psql', ['--version'], { stdio: 'ignore' }).status === 0;
const describeWithCertificates = hasOpenssl ? describe : describe.skip;
const ASK = {
  name: 'ask',
  statement: 'SELECT ssl AS answer FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
  parameters: [],
  limitMs: 5_000,
};

let server: EmbeddedServer;
let plain: EmbeddedServer;
let certificates: Certificates;
let authority: Certificate;
let client: Certificate;
const paths: Record<string, string> = {};

type Env = Record<string, string>;
type Seen = 'tls' | 'plain' | 'refused' | 'unavailable';

/** PG* variables; `$name` in a value is replaced by a file. */
function environment(env: Env, { host, port, user, password }: EmbeddedServer = server): Env {
  const named = Object.entries(env).map(([name, value]) => [
    name,
    value.startsWith('$') ? (paths[value.slice(1)] ?? '') : value,
  ]);
  return {
    ...{ PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: 'postgres' },
    ...(Object.fromEntries(named) as Env),
  };
}

async function ours(env: Env): Promise<{ seen: Seen; error: string }> {
  const config = readConnectionConfig({ env });
  const database = new OwnDatabase(config);
  try {
    return { seen: (await database.call(ASK)) === true ? 'tls' : 'plain', error: '' };
  } catch (error) {
    const { exitCode, message, hint } = explain(error, config.describe, 'migrate_lock');
    return { seen: exitCode === 78 ? 'refused' : 'unavailable', error: `${message} ${hint}` };
  } finally {
    database.disconnect();
  }
}

function psql(env: Env): Seen {
  const { PATH = '' } = process.env;
  const { status, stdout } = spawnSync('psql', ['-XAtw', '-c', ASK.statement], {
    env: { PATH, HOME: certificates.folder, PGCONNECT_TIMEOUT: '5', ...env },
    encoding: 'utf8',
  });
  return status !== 0 ? 'refused' : stdout.trim() === 't' ? 'tls' : 'plain';
}

async function expectLikeLibpq(env: Env, expected: Seen): Promise<string> {
  const { seen, error } = await ours(env);
  expect({ seen, error }).toMatchObject({ seen: expected });
  if (hasPsql) expect(psql(env)).toBe(expected);
  return error;
}

describeWithCertificates('TLS', () => {
  beforeAll(async () => {
    certificates = new Certificates();
    authority = certificates.authority('authority');
    const other = certificates.authority('other');
    client = certificates.signed('certified', authority);
    const stranger = certificates.signed('stranger', other);
    chmodSync(client.key, 0o600);
    Object.assign(paths, { ca: authority.cert, other: other.cert, cert: client.cert, key: client.key });
    Object.assign(paths, { strangerCert: stranger.cert, strangerKey: stranger.key });
    [server, plain] = await Promise.all([startServer(), startServer()]);
    const sql = postgres(server.url, { max: 1 });
    for (const role of ['certified', 'plain_only', 'tls_only'])
      await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${server.password}'`);
    await sql.end({ timeout: 1 });
    const own = certificates.signed('server', authority, 'DNS:localhost');
    paths.crl = certificates.revocations('nothing', authority, []);
    paths.revoked = certificates.revocations('revoked', authority, [own]);
    await offerTls(
      server,
      own,
      authority,
      'hostssl all certified all cert\nhostnossl all plain_only all scram-sha-256\nhost all plain_only all reject\n' +
        'hostssl all tls_only all scram-sha-256\nhost all tls_only all reject\n',
    );
  });
  afterAll(async () => {
    certificates.remove();
    await Promise.all([server.stop(), plain.stop()]);
  });
  afterAll(() => assertNothingLeft());

  test.each<[Env, Seen]>([
    [{}, 'tls'],
    [{ PGSSLMODE: 'disable' }, 'plain'],
    [{ PGSSLMODE: 'prefer' }, 'tls'],
    [{ PGSSLMODE: 'require' }, 'tls'],
    [{ PGSSLMODE: 'require', PGSSLROOTCERT: '$ca' }, 'tls'],
    [{ PGSSLMODE: 'require', PGSSLROOTCERT: '$other' }, 'refused'],
    [{ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '$ca' }, 'tls'],
    [{ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '$other' }, 'refused'],
    [{ PGSSLMODE: 'verify-ca' }, 'refused'],
    [{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$ca', PGHOST: 'localhost' }, 'tls'],
    [{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$other', PGHOST: 'localhost' }, 'refused'],
    [{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$ca' }, 'refused'], // 127.0.0.1 is not in the certificate
    [{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$ca', PGHOST: 'localhost', PGHOSTADDR: '127.0.0.1' }, 'tls'],
    [
      { PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$ca', PGHOST: 'db.invalid', PGHOSTADDR: '127.0.0.1' },
      'refused',
    ],
    [{ PGUSER: 'plain_only' }, 'plain'],
    [{ PGUSER: 'plain_only', PGSSLMODE: 'require' }, 'refused'],
    [{ PGUSER: 'tls_only' }, 'tls'],
    [{ PGUSER: 'tls_only', PGSSLMODE: 'disable' }, 'refused'],
    [{ PGUSER: 'certified', PGSSLCERT: '$cert', PGSSLKEY: '$key', PGSSLMODE: 'require' }, 'tls'],
    [{ PGUSER: 'certified', PGSSLMODE: 'require' }, 'refused'],
    [
      { PGUSER: 'certified', PGSSLCERT: '$strangerCert', PGSSLKEY: '$strangerKey', PGSSLMODE: 'require' },
      'refused',
    ],
    [{ PGSSLCERT: '$cert', PGSSLKEY: '$strangerKey', PGSSLMODE: 'require' }, 'refused'],
    [{ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '$ca', PGSSLCRL: '$crl' }, 'tls'],
    [{ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '$ca', PGSSLCRL: '$revoked' }, 'refused'],
    [{ PGSSLMODE: 'require', PGSSLCRL: '$revoked' }, 'tls'], // nothing is verified
    [{ PGSSLMODE: 'require', PGSSLMINPROTOCOLVERSION: 'TLSv1.3' }, 'tls'],
    [{ PGSSLMODE: 'require', PGSSLMAXPROTOCOLVERSION: 'TLSv1.2' }, 'tls'],
    [{ PGSSLMODE: 'require', PGSSLSNI: '0' }, 'tls'],
  ])('%j: %s', async (env, expected) => {
    await expectLikeLibpq(environment(env), expected);
  });

  test('sslnegotiation=direct uses TLS from the first byte', async () => {
    const env = { PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '$ca', PGSSLNEGOTIATION: 'direct' };
    // PostgreSQL 16 and older close the connection.
    const seen = server.majorVersion >= 17 ? 'tls' : 'unavailable';
    expect(await ours(environment(env))).toMatchObject({ seen });
    expect(await ours(environment(env, plain))).toMatchObject({ seen: expect.not.stringMatching('tls') });
  });

  test('PGSSLCERTMODE=disable sends no client certificate', async () => {
    const certified = { PGUSER: 'certified', PGSSLCERT: '$cert', PGSSLKEY: '$key', PGSSLMODE: 'require' };
    expect((await ours(environment({ ...certified, PGSSLCERTMODE: 'allow' }))).seen).toBe('tls');
    expect((await ours(environment({ ...certified, PGSSLCERTMODE: 'disable' }))).seen).toBe('refused');
  });

  test('a TLS version that the server does not support is reported', async () => {
    const env = {
      PGSSLMODE: 'require',
      PGSSLMAXPROTOCOLVERSION: 'TLSv1.1',
      PGSSLMINPROTOCOLVERSION: 'TLSv1',
    };
    expect((await ours(environment(env))).seen).toBe('refused');
  });

  test.each<[Env, RegExp]>([
    [{ PGSSLMODE: 'verify-ca' }, /needs a root certificate.* sslrootcert .*verify-full/],
    [
      { PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$other', PGHOST: 'localhost' },
      /sslrootcert .*NODE_EXTRA_CA_CERTS/,
    ],
    [{ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$ca' }, /a name that the certificate bears/],
    [{ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: '$ca', PGSSLCRL: '$revoked' }, /was revoked/],
  ])('%j: the hint says how to verify the server, not how to turn verification off', async (env, hint) => {
    const { seen, error } = await ours(environment(env));
    expect({ seen, error }).toMatchObject({ seen: 'refused', error: expect.stringMatching(hint) });
    expect(error).not.toContain('disable');
  });

  test('a file without a certificate is reported', () => {
    const env = environment({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$key' });
    expect(() => readConnectionConfig({ env })).toThrow(/sslrootcert names has no certificate in it/);
  });

  test.each<[string, Seen]>([
    ['disable', 'plain'],
    ['prefer', 'plain'],
    ['require', 'refused'],
    ['verify-ca', 'refused'],
    ['verify-full', 'refused'],
  ])('a server without TLS, sslmode=%s: %s', async (PGSSLMODE, expected) => {
    const env = environment({ PGSSLMODE, PGSSLROOTCERT: '$ca' }, plain);
    const error = await expectLikeLibpq(env, expected);
    if (expected === 'refused') expect(error).toContain('does not offer TLS');
  });

  test('a Unix socket uses no TLS, for any sslmode', async () => {
    const env = environment({ PGHOST: server.socketDirectory, PGSSLMODE: 'require' });
    await expectLikeLibpq(env, 'plain');
  });

  test('the files in ~/.postgresql are used when none is named', async () => {
    const home = join(certificates.folder, 'home');
    mkdirSync(join(home, '.postgresql'), { recursive: true });
    const files = { 'root.crt': authority.cert, 'postgresql.crt': client.cert, 'postgresql.key': client.key };
    for (const [name, from] of Object.entries(files)) copyFileSync(from, join(home, '.postgresql', name));
    const env = environment({
      HOME: home,
      PGUSER: 'certified',
      PGHOST: 'localhost',
      PGSSLMODE: 'verify-full',
    });
    await expectLikeLibpq(env, 'tls');
    copyFileSync(paths.other ?? '', join(home, '.postgresql', 'root.crt'));
    await expectLikeLibpq({ ...env, PGSSLMODE: 'require' }, 'refused');
  });

  test('the built program reads the URL, and exits with 78 without the password', async () => {
    const url = (query: string) => `${server.url.replace('127.0.0.1', 'localhost')}?${query}`;
    const run = (query: string) => runCli(['run', '--', 'true'], { env: { DATABASE_URL: url(query) } });
    expect(await run(`sslmode=verify-full&sslrootcert=${paths.ca ?? ''}`)).toMatchObject({ code: 0 });
    const refused = await run(`sslmode=verify-full&sslrootcert=${paths.other ?? ''}`);
    expect(refused).toMatchObject({ code: 78 });
    expect(refused.stderr).toContain('TLS:');
    expect(refused.stderr + refused.stdout).not.toContain(server.password);
  });

  test('an IP address in the certificate is accepted, and another name is refused', async () => {
    await offerTls(server, certificates.signed('by-address', authority, 'IP:127.0.0.1'), authority);
    const env = environment({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: '$ca' });
    await expectLikeLibpq(env, 'tls');
    await expectLikeLibpq({ ...env, PGHOST: 'localhost' }, 'refused');
  });

  test('the error has no advice about options of Node.js, which the executable does not take', async () => {
    const stranger = certificates.authority('stranger');
    await offerTls(server, certificates.signed('by-stranger', stranger, 'DNS:localhost'), authority);
    const DATABASE_URL = `${server.url.replace('127.0.0.1', 'localhost')}?sslmode=verify-full`;
    const { stderr } = await runCli(['run', '--', 'true'], { env: { DATABASE_URL } });
    expect(stderr).toMatch(/TLS: unable to verify the first certificate\.\n/);
  });
});
