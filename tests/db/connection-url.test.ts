import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readConnectionConfig, type ConnectionConfig } from '../../src/db/connection-config.js';
import { UsageError } from '../../src/errors.js';

const readFile = (path: string): string => {
  if (path.startsWith('/missing')) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  return `PEM of ${path}`;
};
const read = (url: string, env: Record<string, string> = {}) => readConnectionConfig({ url, env, readFile });
const fromEnv = (env: Record<string, string>) => readConnectionConfig({ env, readFile });

function failure(action: () => unknown): UsageError {
  try {
    action();
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('URLs as providers and tools write them', () => {
  test.each<[string, string, Partial<ConnectionConfig>]>([
    [
      'Neon',
      'postgresql://alex:pw@ep-cool-1-pooler.us-east-2.aws.neon.tech/neondb?sslmode=require&channel_binding=require',
      { describe: 'alex@ep-cool-1-pooler.us-east-2.aws.neon.tech:5432/neondb', ssl: 'require', ignored: [] },
    ],
    [
      'Neon without SNI',
      'postgres://alex:pw@h/db?options=endpoint%3Dep-cool-1',
      { options: 'endpoint=ep-cool-1' },
    ],
    [
      'Supabase',
      'postgresql://postgres.ref:pw@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true',
      { user: 'postgres.ref', ignored: ['pgbouncer'], ssl: 'prefer' },
    ],
    [
      'Heroku',
      'postgres://abc:def@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1',
      { ssl: 'prefer', password: 'def' },
    ],
    [
      'RDS',
      'postgres://u:pw@x.rds.amazonaws.com/d?sslmode=verify-full&sslrootcert=/etc/rds.pem',
      { ssl: 'verify-full', tls: { ca: 'PEM of /etc/rds.pem' } },
    ],
    ['Fly', 'postgres://u:pw@app-db.flycast:5432/d?sslmode=disable', { ssl: 'disable' }],
    [
      'IPv6',
      'postgres://u:pw@[fdaa::3]:5433/d',
      { hosts: [{ host: 'fdaa::3', port: 5433 }], describe: 'u@[fdaa::3]:5433/d' },
    ],
    [
      'Azure, encoded',
      'postgres://u%40srv:pw@srv.postgres.database.azure.com/d?ssl=true',
      { user: 'u@srv', ssl: 'require' },
    ],
    [
      'Azure, not encoded',
      'postgres://u@srv:pw@srv.postgres.database.azure.com/d',
      { user: 'u@srv', password: 'pw' },
    ],
    [
      'Cloud SQL',
      'postgresql://u:pw@/d?host=/cloudsql/project:region:instance',
      { hosts: [{ host: '/cloudsql/project:region:instance', port: 5432 }], database: 'd' },
    ],
    [
      'Cloud SQL for Prisma',
      'postgresql://u:pw@localhost/d?host=/cloudsql/p:r:i',
      { hosts: [{ host: '/cloudsql/p:r:i', port: 5432 }] },
    ],
    [
      'a socket in the host',
      'postgres://u@%2Frun%2Fpostgresql:5433/d',
      { hosts: [{ host: '/run/postgresql', port: 5433 }] },
    ],
    [
      'Prisma',
      'postgresql://u:pw@h:5432/d?schema=public&connection_limit=5&pool_timeout=2&sslaccept=strict&sslcert=../ca.pem',
      {
        ignored: ['schema', 'connection_limit', 'pool_timeout', 'sslaccept', 'sslcert'],
        tls: {},
        options: undefined,
      },
    ],
    [
      'JDBC',
      'jdbc:postgresql://h:5432/d?user=u&password=pw&currentSchema=x',
      { user: 'u', password: 'pw', ignored: ['currentSchema'] },
    ],
    ['SQLAlchemy', 'postgresql+psycopg2://u:pw@h/d', { describe: 'u@h:5432/d' }],
    [
      'several hosts',
      'postgres://u:pw@h1:1,h2:2/d',
      {
        hosts: [
          { host: 'h1', port: 1 },
          { host: 'h2', port: 2 },
        ],
        describe: 'u@h1:1,h2:2/d',
      },
    ],
    [
      'several hosts, one port',
      'postgres://u@h1,h2:2/d',
      {
        hosts: [
          { host: 'h1', port: 5432 },
          { host: 'h2', port: 2 },
        ],
      },
    ],
    [
      'hosts as parameters',
      'postgres:///d?host=h1,h2&port=7&user=u',
      {
        hosts: [
          { host: 'h1', port: 7 },
          { host: 'h2', port: 7 },
        ],
      },
    ],
    [
      'libpq parameters',
      'postgres://h/d?user=u&dbname=e&application_name=x&connect_timeout=5&keepalives=1',
      { database: 'e', ignored: [] },
    ],
    ['target_session_attrs', 'postgres://u@h/d?target_session_attrs=read-write', { ignored: [] }],
    ['no password', 'postgres://u@h/d', { password: undefined, secrets: [] }],
    ['an empty password', 'postgres://u:@h/d', { password: undefined, secrets: [] }],
    [
      'encoded parts',
      'postgres://%75:p%40s%3As@h/d%2Fe?a=%26',
      { user: 'u', password: 'p@s:s', database: 'd/e', secrets: ['p@s:s', 'p%40s%3As'] },
    ],
    ['line ends around it', '\n postgres://u@h/d \n', { describe: 'u@h:5432/d' }],
    ['characters that need no encoding for us', 'postgres://u:p#a s&=+s@h/d', { password: 'p#a s&=+s' }],
    ['an @ in the password', 'postgres://u:p@ss@h/d', { password: 'p@ss', describe: 'u@h:5432/d' }],
  ])('%s', (_, url, expected) => {
    expect(read(url)).toMatchObject(expected);
  });
});

describe('what is not understood is refused, and not repeated', () => {
  test.each([
    [''],
    [' '],
    ['geheim'],
    ['"postgres://u:geheim@h/d"'],
    ['host=h password=geheim'],
    ['mysql://u:geheim@h/d'],
    ['https://u:geheim@h/d'],
    ['postgres:/u:geheim@h/d'],
    ['postgres://u:geheim@h/d\npostgres://u:geheim@h/d'],
    ['postgres://u:gehe/im@h/d'],
    ['postgres://u:12/geheim@h/d'],
    ['postgres://u:12/geheim@h'],
    ['postgres://u:12?geheim@h/d'],
    ['postgres://u:12?geh=eim@h/d'],
    ['postgres://u:gehe?im@h/d'],
    ['postgres://u:x@gehe/im@h/d'],
    ['postgres://u:x@geheim?y@h/d'],
    ['postgres://u:x@geheim#y/d@h/d'],
    ['postgres://u:geheim%zz@h/d'],
    ['postgres://u:geheim%@h/d'],
    ['postgres://u:geheim%ff@h/d'],
    ['postgres://u:geheim%00@h/d'],
    ['postgres://u:p@h/d/geheim'],
    ['postgres://u:p@h/d#geheim'],
    ['postgres://u:p@h/d?x=geheim#'],
    ['postgres://u:p@h/d?geheim'],
    ['postgres://u:p@h/d?gehe%20im=1'],
    ['postgres://u:geheim@h:port/d'],
    ['postgres://u:geheim@h:0/d'],
    ['postgres://u:geheim@h:70000/d'],
    ['postgres://u:geheim@fdaa::3/d'],
    ['postgres://u:geheim@h1,h2/d?port=1,2,3'],
    ['postgres://u:geheim@h/d?port=geheim'],
  ])('%j', (url) => {
    const error = failure(() => read(url));
    expect(error.exitCode).toBe(64);
    expect(`${error.message} ${error.hint}`).not.toMatch(/gehe|im@/);
    expect(error.cause).toBeUndefined();
    expect(error.hint).not.toBe('');
  });

  test('the hint tells how to encode', () => {
    expect(failure(() => read('postgres://u:p/w@h/d')).hint).toContain('/ as %2F');
    expect(failure(() => fromEnv({ DATABASE_URL: 'x' })).message).toMatch(
      /^DATABASE_URL is not a PostgreSQL URL: /,
    );
    const file = { urlFile: '/run/secrets/url', env: {}, readFile };
    expect(failure(() => readConnectionConfig(file)).message).toMatch(
      /^The content of \/run\/secrets\/url is not/,
    );
  });
});

const MARK = 'ZQ7';
const part = fc.oneof(
  fc.constantFrom('@', ':', '/', '?', '#', '%', '&', '=', ' ', '"', ',', '[', ']', '\\', '\n'),
  fc.string({ maxLength: 3 }),
);
const password = fc
  .array(part, { maxLength: 5 })
  .map((parts) => MARK + parts.map((text) => text + MARK).join(''));

test('a password that is encoded arrives as it is', () => {
  fc.assert(
    fc.property(password, (text) => {
      fc.pre(!text.includes('\0'));
      const config = read(`postgres://u:${encodeURIComponent(text)}@h/d`);
      const { secrets, ...others } = config;
      const { secrets: none, ...plain } = read('postgres://u@h/d');
      expect(none).toEqual([]);
      expect(secrets).toContain(text);
      expect(others).toEqual({ ...plain, password: text });
    }),
  );
});

test('a password that is not encoded is refused or taken for what it is, but appears nowhere else', () => {
  fc.assert(
    fc.property(password, fc.constantFrom('@h/d', '@h', '@h:5432/d?sslmode=require', '@'), (text, rest) => {
      try {
        const { password: taken, secrets, ...others } = read(`postgres://u:${text}${rest}`);
        expect(JSON.stringify(others)).not.toContain(MARK);
        expect(secrets).toContain(taken);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        expect(`${error.message} ${error.hint} ${String(error.stack)}`).not.toContain(MARK);
      }
    }),
    { numRuns: 3_000 },
  );
});
