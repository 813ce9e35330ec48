import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { explain } from '../../../src/db/explain.js';
import { OwnDatabase } from '../../../src/db/own-database.js';
import { Certificates, hasOpenssl, type Certificate } from '../../support/certificates.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { afterSslRequest } from '../../support/fake-server.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { offerTls } from '../../support/tls-server.js';

// Authentication methods of a real server against the client's settings. psql has to agree where it knows the settings.

const psqlVersion = Number(/\d+/.exec(execVersion())?.[0] ?? 0);
const REQUIRE_AUTH_SINCE = 16;
const HBA = `
hostssl all certified all cert
host all scram all scram-sha-256
host all md5er all md5
host all clear all password
host all trusted all trust
`;
const PASSWORD = 'p4ssw0rd-of-all';
const ASK = { name: 'ask', statement: 'SELECT current_user::text AS answer', parameters: [], limitMs: 5_000 };

function execVersion(): string {
  const { error, stdout } = spawnSync('psql', ['--version'], { encoding: 'utf8' });
  return error === undefined ? stdout : '';
}

type Env = Record<string, string>;
type Seen = 'ok' | 'refused' | 'unavailable';

let server: EmbeddedServer;
let certificates: Certificates;
let authority: Certificate;
let client: Certificate;

const describeWithCertificates = hasOpenssl ? describe : describe.skip;

function environment(user: string, env: Env = {}): Env {
  return {
    ...{ PGHOST: '127.0.0.1', PGPORT: String(server.port), PGUSER: user, PGPASSWORD: PASSWORD },
    ...{ PGDATABASE: 'postgres', PGSSLMODE: 'require', ...env },
  };
}

async function ours(env: Env): Promise<{ seen: Seen; error: string }> {
  const config = readConnectionConfig({ env });
  const database = new OwnDatabase(config);
  try {
    expect(await database.call(ASK)).toBe(config.user);
    return { seen: 'ok', error: '' };
  } catch (error) {
    const { exitCode, message, hint } = explain(error, config.describe, 'migrate_lock');
    return { seen: exitCode === 78 ? 'refused' : 'unavailable', error: `${message} ${hint}` };
  } finally {
    database.disconnect();
  }
}

async function expectLikeLibpq(env: Env, expected: Seen): Promise<string> {
  const { seen, error } = await ours(env);
  expect({ seen, error }).toMatchObject({ seen: expected });
  expect(error).not.toContain(PASSWORD);
  if (psqlVersion >= (env.PGREQUIREAUTH === undefined ? 13 : REQUIRE_AUTH_SINCE)) {
    const { PATH = '' } = process.env;
    const { status } = spawnSync('psql', ['-XAtwc', ASK.statement], {
      env: { PATH, HOME: certificates.folder, PGCONNECT_TIMEOUT: '5', ...env },
    });
    expect(status === 0 ? 'ok' : 'refused').toBe(expected);
  }
  return error;
}

async function show(own: Certificate): Promise<void> {
  await offerTls(server, own, authority);
}

beforeAll(async () => {
  if (!hasOpenssl) return;
  certificates = new Certificates();
  authority = certificates.authority('authority');
  client = certificates.signed('certified', authority);
  chmodSync(client.key, 0o600);
  server = await startServer();
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  for (const role of ['certified', 'scram', 'clear', 'trusted'])
    await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${PASSWORD}'`);
  await sql.unsafe(`SET password_encryption = 'md5'; CREATE ROLE md5er LOGIN PASSWORD '${PASSWORD}'`);
  await sql.end({ timeout: 1 });
  await offerTls(server, certificates.signed('server', authority, 'DNS:localhost'), authority, HBA);
});
afterAll(async () => {
  if (!hasOpenssl) return;
  certificates.remove();
  await server.stop();
});
afterAll(() => assertNothingLeft());

describeWithCertificates('channel_binding and require_auth', () => {
  test.each<[string, Env, Seen]>([
    ['scram', {}, 'ok'],
    ['scram', { PGSSLMODE: 'disable' }, 'ok'],
    ['scram', { PGPASSWORD: 'wrong' }, 'refused'],
    ['scram', { PGPASSWORD: '' }, 'refused'],
    ['scram', { PGCHANNELBINDING: 'require' }, 'ok'],
    ['scram', { PGCHANNELBINDING: 'require', PGPASSWORD: 'wrong' }, 'refused'],
    ['scram', { PGCHANNELBINDING: 'disable' }, 'ok'],
    ['scram', { PGCHANNELBINDING: 'require', PGSSLMODE: 'disable' }, 'refused'],
    ['scram', { PGREQUIREAUTH: 'scram-sha-256' }, 'ok'],
    ['scram', { PGREQUIREAUTH: 'md5,scram-sha-256' }, 'ok'],
    ['scram', { PGREQUIREAUTH: 'none' }, 'refused'],
    ['scram', { PGREQUIREAUTH: 'gss,sspi,oauth' }, 'refused'],
    ['scram', { PGREQUIREAUTH: '!scram-sha-256' }, 'refused'],
    ['scram', { PGREQUIREAUTH: '!none' }, 'ok'],
    ['md5er', {}, 'ok'],
    ['md5er', { PGPASSWORD: 'wrong' }, 'refused'],
    ['md5er', { PGCHANNELBINDING: 'require' }, 'refused'],
    ['md5er', { PGREQUIREAUTH: 'md5' }, 'ok'],
    ['md5er', { PGREQUIREAUTH: 'scram-sha-256' }, 'refused'],
    ['md5er', { PGREQUIREAUTH: '!md5,!password' }, 'refused'],
    ['clear', {}, 'ok'],
    ['clear', { PGSSLMODE: 'disable' }, 'ok'],
    ['clear', { PGCHANNELBINDING: 'require' }, 'refused'],
    ['clear', { PGREQUIREAUTH: 'password' }, 'ok'],
    ['clear', { PGREQUIREAUTH: 'scram-sha-256,md5' }, 'refused'],
    ['clear', { PGREQUIREAUTH: '!password' }, 'refused'],
    ['trusted', {}, 'ok'],
    ['trusted', { PGCHANNELBINDING: 'require' }, 'refused'],
    ['trusted', { PGREQUIREAUTH: 'none' }, 'ok'],
    ['trusted', { PGREQUIREAUTH: 'scram-sha-256,none' }, 'ok'],
    ['trusted', { PGREQUIREAUTH: 'scram-sha-256' }, 'refused'],
    ['trusted', { PGREQUIREAUTH: '!none' }, 'refused'],
    ['trusted', { PGREQUIREAUTH: '!scram-sha-256' }, 'ok'],
  ])('%s, %j: %s', async (user, env, expected) => {
    await expectLikeLibpq(environment(user, env), expected);
  });

  test('a request for a password is not satisfied by a client certificate', async () => {
    const env = environment('certified', { PGSSLCERT: client.cert, PGSSLKEY: client.key });
    await expectLikeLibpq(env, 'ok');
    await expectLikeLibpq({ ...env, PGREQUIREAUTH: 'none' }, 'ok');
    await expectLikeLibpq({ ...env, PGREQUIREAUTH: 'scram-sha-256' }, 'refused');
  });

  test.each([
    ['PGCHANNELBINDING', 'yes'],
    ['PGCHANNELBINDING', 'Require'],
    ['PGREQUIREAUTH', 'scram'],
    ['PGREQUIREAUTH', 'md5,,password'],
    ['PGREQUIREAUTH', 'md5, password'],
    ['PGREQUIREAUTH', 'md5,md5'],
    ['PGREQUIREAUTH', '!md5,password'],
    ['PGREQUIREAUTH', 'md5,!password'],
    ['PGREQUIREAUTH', '!'],
  ])('%s=%s is a usage error', (name, value) => {
    expect(() => readConnectionConfig({ env: environment('scram', { [name]: value }) })).toThrow(
      expect.objectContaining({ exitCode: 64 }),
    );
  });

  test('the URL parameter, as Neon writes it, overrides the variable', async () => {
    const run = (user: string, query: string) =>
      runCli(['run', '--', 'true'], {
        env: {
          DATABASE_URL: `postgres://${user}:${PASSWORD}@127.0.0.1:${server.port}/postgres?${query}`,
          PGCHANNELBINDING: 'disable',
        },
      });
    const sql = postgres(server.url, { max: 1 });
    await sql.unsafe('GRANT CREATE ON DATABASE postgres TO scram');
    await sql.end({ timeout: 1 });
    expect(await run('scram', 'sslmode=require&channel_binding=require')).toMatchObject({ code: 0 });
    const refused = await run('clear', 'sslmode=require&channel_binding=require');
    expect(refused).toMatchObject({ code: 78 });
    expect(refused.stderr).toContain('channel_binding=require needs SCRAM-SHA-256-PLUS');
    expect(await run('clear', 'require_auth=scram-sha-256')).toMatchObject({ code: 78 });
    expect(await run('clear', 'require_auth=everything')).toMatchObject({ code: 64 });
  });
});

describeWithCertificates('passwords that are not ASCII', () => {
  test.each([
    ['needs SASLprep', 'Ⅸ½\u00a0x\u00ady'],
    ['composed and decomposed', 'e\u0301\u00e9\u1e9b\u0323'],
    ['an unusual space and Japanese', '\u3000パスワード'],
    ['forbidden by SASLprep, so used as it is', 'a\u0007\u00ad\u2168'],
    ['text of both directions, so used as it is', '\u0627\u2168b'],
    ['empty after SASLprep, so used as it is', '\u00ad\u200b'],
    ['outside the basic multilingual plane', '😀\u{1d400}'],
  ])('%s', async (_, password) => {
    const sql = postgres(server.url, { max: 1 });
    await sql.unsafe(`ALTER ROLE scram PASSWORD '${password}'`);
    try {
      await expectLikeLibpq(environment('scram', { PGPASSWORD: password }), 'ok');
    } finally {
      await sql.unsafe(`ALTER ROLE scram PASSWORD '${PASSWORD}'`);
      await sql.end({ timeout: 1 });
    }
  });
});

describeWithCertificates('what the channel is bound to', () => {
  const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const PSS = ['-newkey', 'rsa:2048', '-sigopt', 'rsa_padding_mode:pss'];

  afterAll(() => show(certificates.signed('server-again', authority, 'DNS:localhost')));

  test.each([
    ['ECDSA with SHA-384', [...EC, '-sha384']],
    ['ECDSA with SHA-512', [...EC, '-sha512']],
    ['RSA with SHA-256', ['-newkey', 'rsa:2048', '-sha256']],
    ['RSA with SHA-512', ['-newkey', 'rsa:2048', '-sha512']],
    ['RSA with SHA-1, bound with SHA-256', ['-newkey', 'rsa:2048', '-sha1']],
    ['RSA-PSS with SHA-256', [...PSS, '-sha256']],
    ['RSA-PSS with SHA-384', [...PSS, '-sha384']],
  ])('%s', async (name, algorithm) => {
    await show(certificates.selfSigned(name.replaceAll(/\W/g, '-'), ...algorithm));
    expect(await ours(environment('scram', { PGCHANNELBINDING: 'require' }))).toEqual({
      seen: 'ok',
      error: '',
    });
  });

  test('Ed25519 has no hash: refused when channel binding is required, otherwise plain SCRAM', async () => {
    await show(certificates.selfSigned('ed25519', '-newkey', 'ed25519'));
    const { seen, error } = await ours(environment('scram', { PGCHANNELBINDING: 'require' }));
    expect(seen).toBe('refused');
    expect(error).toContain('its certificate has none');
    expect(await ours(environment('scram'))).toEqual({ seen: 'ok', error: '' });
  });
});

describeWithCertificates('a man in the middle with a certificate of its own', () => {
  /** Terminates TLS on both sides, and passes everything on, changed by `change`. */
  async function between(change: (fromServer: Buffer) => Buffer) {
    const own = certificates.selfSigned('between', '-newkey', 'rsa:2048');
    const sockets = new Set<net.Socket>();
    const relay = net.createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      void (async () => {
        const left = await afterSslRequest(socket, own);
        const upstream = net.connect(server.port, '127.0.0.1').on('error', () => undefined);
        sockets.add(upstream);
        upstream.write(Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]));
        await once(upstream, 'data');
        const right = tls
          .connect({ socket: upstream, rejectUnauthorized: false })
          .on('error', () => undefined);
        left.pipe(right);
        right.on('data', (bytes: Buffer) => left.write(change(bytes)));
        right.on('close', () => left.destroy());
        left.on('close', () => right.destroy());
      })();
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    return {
      port: (relay.address() as net.AddressInfo).port,
      close: async () => {
        for (const socket of sockets) socket.destroy();
        relay.close();
        await once(relay, 'close');
      },
    };
  }
  const withoutPlus = (bytes: Buffer) =>
    bytes.includes('SCRAM-SHA-256-PLUS')
      ? Buffer.from('R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0', 'latin1')
      : bytes;

  test.each<[string, string, Seen]>([
    ['passes all on', 'require', 'refused'],
    ['passes all on', 'prefer', 'refused'],
    ['takes the offer to bind away', 'require', 'refused'],
    ['takes the offer to bind away', 'prefer', 'refused'],
    ['passes all on', 'disable', 'ok'],
  ])('%s, channel_binding=%s: %s', async (what, binding, expected) => {
    const { port, close } = await between(what === 'passes all on' ? (bytes) => bytes : withoutPlus);
    try {
      // Not psql: the relay runs in this process, which would block.
      const env = environment('scram', { PGCHANNELBINDING: binding, PGPORT: String(port) });
      expect(await ours(env)).toMatchObject({ seen: expected });
    } finally {
      await close();
    }
  });
});

describeWithCertificates('verify-ca without a root certificate', () => {
  test('is refused also where Node trusts the authority; sslmode=verify-full accepts that', async () => {
    await show(certificates.signed('known-to-node', authority, 'DNS:localhost'));
    const status = (sslmode: string) =>
      runCli(['status'], {
        auditOnly: false,
        env: {
          DATABASE_URL: `${server.url.replace('127.0.0.1', 'localhost')}?sslmode=${sslmode}`,
          NODE_EXTRA_CA_CERTS: authority.cert,
          HOME: certificates.folder,
        },
      });
    const refused = await status('verify-ca');
    expect(refused).toMatchObject({ code: 78 });
    expect(refused.stderr).toContain('needs a root certificate');
    expect(await status('verify-full')).toMatchObject({ code: 0 });
  });
});
