import { userInfo } from 'node:os';
import { describe, expect, test } from '@jest/globals';
import { readConnectionConfig, type ConnectionConfig } from '../../src/db/connection-config.js';
import { UsageError } from '../../src/errors.js';

const readFile = (path: string): string => {
  if (path.startsWith('/missing')) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  return `PEM of ${path}`;
};
const read = (url: string, env: Record<string, string> = {}) => readConnectionConfig({ url, env, readFile });
const fromEnv = (env: Record<string, string>) => readConnectionConfig({ env, readFile });
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
    ['sslmode=require&sslrootcert=/ca', { ssl: 'verify-ca', tls: { ca: 'PEM of /ca' } }],
    ['sslmode=no-verify&sslrootcert=/ca', { ssl: 'require' }],
    ['sslrootcert=system', { ssl: 'verify-full', tls: {} }],
    ['ssl=false', { ssl: 'disable' }],
    ['ssl=no-verify', { ssl: 'require' }],
    ['ssl=%7B%7D', { ssl: 'prefer', ignored: ['ssl'] }],
    ['ssl=true&sslmode=verify-full', { ssl: 'verify-full' }],
    [
      'sslcert=/c&sslkey=/k&sslpassword=geheim',
      { tls: { cert: 'PEM of /c', key: 'PEM of /k', passphrase: 'geheim' }, secrets: ['geheim'] },
    ],
    ['sslmode=disable&sslrootcert=/missing', { ssl: 'disable', tls: {} }],
  ])('?%s', (query, expected) => {
    expect(read(`postgres://u@h/d?${query}`)).toMatchObject(expected);
  });

  test('from the environment, where the URL says nothing', () => {
    const env = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: '/ca' };
    expect(read('postgres://u@h/d', env)).toMatchObject({ ssl: 'verify-full', tls: { ca: 'PEM of /ca' } });
    expect(read('postgres://u@h/d?ssl=true', { PGSSLMODE: 'disable' })).toMatchObject({ ssl: 'require' });
  });

  test('an unknown sslmode and a missing file are told', () => {
    expect(failure(() => read('postgres://u@h/d?sslmode=geheim')).message).toMatch(/^sslmode/);
    const { message } = failure(() => read('postgres://u@h/d?sslmode=verify-ca&sslrootcert=/missing.pem'));
    expect(message).toBe('The file that sslrootcert names cannot be read: /missing.pem (ENOENT).');
  });
});

describe('where the configuration comes from', () => {
  const env = { DATABASE_URL: 'postgres://u@env/d', PGHOST: 'pg' };

  test('the URL, its file, DATABASE_URL, PG*, in this order', () => {
    const file = () => ' postgres://u@file/d\n';
    const host = (source: object) => readConnectionConfig({ env, readFile: file, ...source }).hosts[0]?.host;
    expect(host({ url: 'postgres://u@flag/d', urlFile: '/x' })).toBe('flag');
    expect(host({ urlFile: '/x' })).toBe('file');
    expect(host({})).toBe('env');
    expect(host({ env: { ...env, DATABASE_URL: '' } })).toBe('pg');
  });

  test('PG* alone', () => {
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
      secrets: ['pw'],
      ignored: [],
      describe: 'u@h1:1,/run/x:2/d',
    });
  });

  test('PG* and the defaults complete what the URL leaves open', () => {
    const pg = { PGHOST: 'h', PGPORT: '1', PGDATABASE: 'd', PGUSER: 'u', PGPASSWORD: 'pw' };
    expect(read('postgres://', pg).describe).toBe('u@h:1/d');
    expect(read('postgres://:7', pg).describe).toBe('u@h:7/d');
    expect(read('postgres://', pg).password).toBe('pw');
    expect(read('postgres://a:b@x:9/y', pg)).toMatchObject({
      describe: 'a@x:9/y',
      password: 'b',
      secrets: ['b', 'pw'],
    });
    expect(read('postgres://')).toMatchObject({ describe: `${me}@localhost:5432/${me}` });
    expect(fromEnv({ PGHOST: 'h' }).describe).toBe(`${me}@h:5432/${me}`);
  });

  test('no database named at all is an error, a service alone too', () => {
    expect(failure(() => fromEnv({})).message).toBe('No database is named.');
    expect(failure(() => fromEnv({ DATABASE_URL: ' ', PGUSER: '', PGSERVICE: 'x' })).exitCode).toBe(64);
    expect(fromEnv({ PGHOST: 'h', PGSERVICE: 'x' }).ignored).toEqual(['PGSERVICE']);
  });

  test('a file that cannot be read', () => {
    const { message } = failure(() => readConnectionConfig({ urlFile: '/missing', env: {}, readFile }));
    expect(message).toBe('The file with the database URL cannot be read: /missing (ENOENT).');
  });

  test('a password that is also the name of the user or the database does not blot these out', () => {
    expect(read('postgres://postgres:postgres@h/postgres').secrets).toEqual([]);
  });
});
