import { userInfo } from 'node:os';
import { describe, expect, test } from '@jest/globals';
import { readConnectionConfig, type ConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { UsageError } from '../../../src/errors.js';

const readFile = (path: string): string => {
  if (path.startsWith('/missing')) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  return pem(path);
};
/** The first bytes of a certificate; nothing here reads more. */
const pem = (path: string): string =>
  path.includes('crl')
    ? `-----BEGIN X509 CRL----- of ${path}`
    : `-----BEGIN ${path.includes('k') ? 'PRIVATE KEY' : 'CERTIFICATE'}----- of ${path}`;
const read = (url: string, env: Record<string, string> = {}) =>
  readConnectionConfig({ url, env, readFile, isSocket: () => false });
const fromEnv = (env: Record<string, string>) =>
  readConnectionConfig({ env, readFile, isSocket: () => false });
const me = userInfo().username;

function failure(action: () => unknown): UsageError {
  try {
    action();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('TLS', () => {
  test.each<[string, Partial<ConnectionConfig>]>([
    ['', { ssl: 'prefer', tls: {} }],
    ['sslmode=allow', { ssl: 'prefer' }],
    ['sslmode=verify-ca', { ssl: 'verify-ca' }],
    ['sslmode=require&sslrootcert=/ca', { ssl: 'verify-ca', tls: { ca: pem('/ca') } }],
    ['sslmode=no-verify&sslrootcert=/ca', { ssl: 'require' }],
    ['sslrootcert=system', { ssl: 'verify-full', tls: {} }],
    ['ssl=false', { ssl: 'disable' }],
    ['ssl=no-verify', { ssl: 'require' }],
    ['ssl=true&sslmode=verify-full', { ssl: 'verify-full' }],
    [
      'sslcert=/c&sslkey=/k&sslpassword=geheim',
      { tls: { cert: pem('/c'), key: pem('/k'), passphrase: 'geheim' }, secrets: ['geheim'] },
    ],
    ['sslmode=disable&sslrootcert=/missing', { ssl: 'disable', tls: {} }],
  ])('?%s', (query, expected) => {
    expect(read(`postgres://u@h/d?${query}`)).toMatchObject(expected);
  });

  test('uses the environment when the URL sets nothing', () => {
    const env = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: '/ca' };
    expect(read('postgres://u@h/d', env)).toMatchObject({ ssl: 'verify-full', tls: { ca: pem('/ca') } });
    expect(read('postgres://u@h/d?ssl=true', { PGSSLMODE: 'disable' })).toMatchObject({ ssl: 'require' });
  });

  test.each([
    ['postgres://u@h/d?sslmode=disable&sslaccept=strict', 'sslaccept in the database URL asks for TLS'],
    ['postgres://u@h/d?sslmode=disable&ssl=true', 'ssl in the database URL asks for TLS'],
    ['r2dbcs:postgresql://u@h/d?sslMode=disable', 'r2dbcs:// in the database URL asks for TLS'],
    ['postgres://u@h/d?ssl=false&sslrootcert=system', 'sslrootcert in the database URL asks for TLS'],
  ])('%s is refused: it asks for TLS and for none', (url, said) => {
    expect(failure(() => read(url)).message).toBe(`${said}, and sslmode (or ssl) for none.`);
  });

  test('refuses an unknown sslmode and a missing file', () => {
    expect(failure(() => read('postgres://u@h/d?sslmode=geheim')).message).toMatch(/^sslmode/);
    const { message } = failure(() => read('postgres://u@h/d?sslmode=verify-ca&sslrootcert=/missing.pem'));
    expect(message).toBe('The file that sslrootcert names cannot be read: /missing.pem (ENOENT).');
  });
});

describe('the parameters of libpq', () => {
  test.each<[string, Partial<ConnectionConfig>]>([
    ['sslmode=verify-full&sslrootcert=/ca&sslcrl=/crl', { tls: { ca: pem('/ca'), crl: pem('/crl') } }],
    ['sslcrl=/crl', { ignored: ['sslcrl'], tls: {} }],
    ['ssl_min_protocol_version=TLSv1.3', { tls: { minVersion: 'TLSv1.3' } }],
    [
      'ssl_min_protocol_version=tlsv1.2&ssl_max_protocol_version=TLSv1.3',
      { tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' } },
    ],
    ['sslmode=require&sslnegotiation=direct', { tlsFirst: true }],
    ['sslsni=0', { sendsName: false }],
    ['requiressl=1', { ssl: 'require' }],
    ['requiressl=0', { ssl: 'prefer' }],
    ['sslcert=/c&sslkey=/k&sslcertmode=disable', { tls: {} }],
    ['gssencmode=prefer&sslcertmode=allow&load_balance_hosts=random&replication=false', { ignored: [] }],
    ['requirepeer=postgres', { ignored: [] }], // over TCP it says nothing
    [
      'sslcompression=1&keepalives=0&tcp_user_timeout=9&krbsrvname=x&gsslib=gssapi&min_protocol_version=3.0',
      { ignored: [] },
    ],
    ['sslaccept=accept_invalid_certs&sslcert=/c', { ssl: 'prefer', ignored: ['sslcert'] }],
    ['sslaccept=strict', { ssl: 'verify-full' }],
    ['sslaccept=strict&sslmode=require', { ssl: 'verify-full' }],
  ])('?%s is honoured', (query, expected) => {
    expect(read(`postgres://u@h/d?${query}`)).toMatchObject({ ignored: [], ...expected });
  });

  test.each([
    ...['gssencmode=require', 'sslcertmode=require', 'replication=database', 'replication=1'],
    ...['target_session_attrs=standby', 'targetServerType=secondary', 'load_balance_hosts=x'],
    ...['min_protocol_version=3.2', 'scram_client_key=geheim', 'oauth_issuer=https%3A//geheim'],
    ...['sslnegotiation=direct', 'sslnegotiation=direct&sslmode=prefer', 'sslnegotiation=x', 'sslsni=2'],
    ...[
      'ssl_min_protocol_version=SSLv3',
      'ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2',
    ],
    ...[
      'sslcert=/c',
      'sslaccept=x',
      'ssl=%7B%7D',
      'sslrootcert=system&sslmode=disable',
      'sslcrl=/missing&sslmode=verify-full',
    ],
    ...['sslcrldir=/x&sslmode=verify-full', 'sslcrl=/missing&sslmode=verify-ca', 'connect_timeout=soon'],
  ])('?%s is refused, and the error names it', (query) => {
    const error = failure(() => read(`postgres://u@h/d?${query}`));
    expect(error.exitCode).toBe(64);
    expect(error.message.toLowerCase()).toContain((/^\w+/.exec(query)?.[0] ?? '').toLowerCase());
    expect(`${error.message} ${error.hint}`).not.toMatch(/geheim|SSLv3/);
  });

  test.each([
    ['PGGSSENCMODE', 'require'],
    ['PGSSLCERTMODE', 'require'],
    ['PGSSLCRLDIR', '/x'],
    ['PGSSLCRL', '/missing'],
    ['PGTARGETSESSIONATTRS', 'standby'],
    ['PGLOADBALANCEHOSTS', 'x'],
    ['PGSSLMINPROTOCOLVERSION', 'SSLv3'],
    ['PGSSLMAXPROTOCOLVERSION', 'SSLv3'],
    ['PGSSLNEGOTIATION', 'x'],
    ['PGSSLSNI', 'x'],
    ['PGMINPROTOCOLVERSION', '3.2'],
    ['PGCONNECT_TIMEOUT', 'soon'],
  ])('%s=%s is refused, and the error names it', (name, value) => {
    const env = { PGHOST: 'h', PGSSLMODE: 'verify-full', [name]: value };
    const error = failure(() => fromEnv(env));
    expect(error.exitCode).toBe(64);
    expect(`${error.message} `).toMatch(new RegExp(name === 'PGSSLCRL' ? 'sslcrl ' : `${name} `));
    // The variables complete a URL.
    expect(failure(() => read('postgres://u@h/d', env)).message).toBe(error.message);
  });

  test('honours PGREQUIREPEER and requirepeer for a Unix socket', () => {
    const peer = { PGREQUIREPEER: 'postgres' };
    expect(failure(() => fromEnv({ PGHOST: '/run/x', ...peer })).message).toContain('PGREQUIREPEER');
    expect(failure(() => read('postgres://u@/d?host=/run/x&requirepeer=p')).message).toContain('requirepeer');
    expect(fromEnv({ PGHOST: 'h', ...peer }).ignored).toEqual([]);
  });

  test.each([
    ['1', 'require'],
    ['0', 'prefer'],
  ])('PGREQUIRESSL=%s', (PGREQUIRESSL, ssl) => {
    expect(fromEnv({ PGHOST: 'h', PGREQUIRESSL }).ssl).toBe(ssl);
    expect(fromEnv({ PGHOST: 'h', PGREQUIRESSL, PGSSLMODE: 'verify-full' }).ssl).toBe('verify-full');
  });

  test.each([
    ['', undefined],
    ['0', undefined],
    ['-1', undefined],
    ['1', 2_000],
    ['2', 2_000],
    [' 10 ', 10_000],
  ])('connect_timeout=%j', (given, connectTimeoutMs) => {
    expect(read(`postgres://u@h/d?connect_timeout=${given}`)).toMatchObject({ connectTimeoutMs });
    expect(fromEnv({ PGHOST: 'h', PGCONNECT_TIMEOUT: given })).toMatchObject({ connectTimeoutMs });
  });

  test.each([
    ['sslrootcert=/k', 'no certificate in it: /k'],
    ['sslcert=/k&sslkey=/k', 'no certificate in it: /k'],
    ['sslcert=/c&sslkey=/c', 'no private key in it: /c'],
    ['sslcrl=/ca', 'no revocation list in it: /ca'],
  ])('?%s names a file of the wrong kind', (query, said) => {
    expect(failure(() => read(`postgres://u@h/d?sslmode=verify-full&${query}`)).message).toContain(said);
  });
});

describe('a URL without a host', () => {
  const at = (socket: string, url: string, env = {}) =>
    readConnectionConfig({ url, env, readFile, isSocket: (path) => path === socket }).hosts;

  test.each([
    ['/var/run/postgresql/.s.PGSQL.5432', 'postgres:///app', { host: '/var/run/postgresql', port: 5432 }],
    ['/tmp/.s.PGSQL.5432', 'postgres:///app', { host: '/tmp', port: 5432 }],
    ['/tmp/.s.PGSQL.5433', 'postgres://:5433/app', { host: '/tmp', port: 5433 }],
    ['/tmp/.s.PGSQL.5433', 'postgres:///app', { host: 'localhost', port: 5432 }],
    ['/tmp/.s.PGSQL.5432', 'postgres://localhost/app', { host: 'localhost', port: 5432 }],
  ])('with a socket at %s: %s', (socket, url, expected) => {
    expect(at(socket, url)).toEqual([expected]);
  });
});

describe('the source of the configuration', () => {
  const env = { DATABASE_URL: 'postgres://u@env/d', PGHOST: 'pg' };

  test('is the URL, its file, DATABASE_URL, then PG*, in this order', () => {
    const file = () => ' postgres://u@file/d\n';
    const host = (source: object) => readConnectionConfig({ env, readFile: file, ...source }).hosts[0]?.host;
    expect(host({ url: 'postgres://u@flag/d', urlFile: '/x' })).toBe('flag');
    expect(host({ urlFile: '/x' })).toBe('file');
    expect(host({})).toBe('env');
    expect(host({ env: { ...env, DATABASE_URL: '' } })).toBe('pg');
  });

  test('may be PG* alone', () => {
    const pg = {
      PGHOST: 'h1,/run/x',
      PGPORT: '1,2',
      PGDATABASE: 'd',
      PGUSER: 'u',
      PGPASSWORD: 'pw',
      PGOPTIONS: '-c a=b',
    };
    expect(fromEnv(pg)).toEqual({
      hosts: [
        { host: 'h1', port: 1 },
        { host: '/run/x', port: 2 },
      ],
      database: 'd',
      user: 'u',
      password: 'pw',
      ssl: 'prefer',
      tls: {},
      auth: {
        channelBinding: 'prefer',
        methods: ['password', 'md5', 'gss', 'sspi', 'scram-sha-256', 'oauth'],
        allowsNone: true,
      },
      options: '-c a=b',
      optionsFrom: 'PGOPTIONS',
      secrets: ['pw'],
      ignored: [],
      describe: 'u@h1:1,/run/x:2/d',
    });
  });

  test('PG* and the defaults fill in what the URL leaves out', () => {
    const pg = { PGHOST: 'h', PGPORT: '1', PGDATABASE: 'd', PGUSER: 'u', PGPASSWORD: 'pw' };
    expect(read('postgres://', pg).describe).toBe('u@h:1/d');
    expect(read('postgres://:7', pg).describe).toBe('u@h:7/d');
    expect(read('postgres://', pg).password).toBe('pw');
    expect(read('postgres://a:b@x:9/y', pg)).toMatchObject({
      describe: 'a@x:9/y',
      password: 'b',
      secrets: ['b', 'pw'],
    });
    expect(read('postgres:///app').describe).toBe(`${me}@localhost:5432/app`);
    expect(read('postgres://:7', { PGUSER: me }).describe).toBe(`${me}@localhost:7/${me}`);
    expect(fromEnv({ PGHOST: 'h' }).describe).toBe(`${me}@h:5432/${me}`);
  });

  test('an error says that no database is named', () => {
    expect(failure(() => fromEnv({})).message).toBe('No database is named.');
    expect(failure(() => fromEnv({ DATABASE_URL: ' ', PGUSER: '' })).message).toBe('No database is named.');
  });

  test('a variable does not redirect a URL that names its host', () => {
    expect(failure(() => read('postgres://u@h/d', { PGHOSTADDR: '10.0.0.1' })).message).toContain(
      'PGHOSTADDR',
    );
    expect(fromEnv({ PGHOST: 'h', PGHOSTADDR: '10.0.0.1' }).hosts).toEqual([
      { host: 'h', port: 5432, hostaddr: '10.0.0.1' },
    ]);
    expect(read('postgres:///d?user=u&hostaddr=10.0.0.1', { PGHOST: 'h' }).describe).toBe(
      'u@10.0.0.1:5432/d',
    );
  });

  test('an error says that the file cannot be read', () => {
    const { message } = failure(() => readConnectionConfig({ urlFile: '/missing', env: {}, readFile }));
    expect(message).toBe('The file with the database URL cannot be read: /missing (ENOENT).');
  });

  test('a password that equals the user or database name does not hide those names', () => {
    expect(read('postgres://postgres:postgres@h/postgres').secrets).toEqual([]);
  });
});
