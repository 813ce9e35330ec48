import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readConnectionConfig, type ConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { UsageError } from '../../../src/errors.js';

const readFile = (path: string): string => {
  if (path.startsWith('/missing')) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
  return pem(path);
};
/** The first bytes of a certificate; nothing here reads more. */
const pem = (path: string): string =>
  path.includes('k') ? `-----BEGIN PRIVATE KEY----- of ${path}` : `-----BEGIN CERTIFICATE----- of ${path}`;
const read = (url: string, env: Record<string, string> = {}) =>
  readConnectionConfig({ url, env, readFile, isSocket: () => false });
const fromEnv = (env: Record<string, string>) =>
  readConnectionConfig({ env, readFile, isSocket: () => false });

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
      { ssl: 'verify-full', tls: { ca: pem('/etc/rds.pem') } },
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
        ignored: ['schema', 'connection_limit', 'pool_timeout'],
        ssl: 'verify-full',
        tls: { ca: pem('../ca.pem') },
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
      'postgres://h?user=u&dbname=e&application_name=x&connect_timeout=5&keepalives=1',
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

describe('a URL that cannot be parsed is refused, and the error does not repeat it', () => {
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

  test('the hint says how to encode a password', () => {
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

describe('URLs of other tools', () => {
  test.each([
    ...[
      'postgres',
      'postgresql',
      'POSTGRES',
      'psql',
      'pgsql',
      'postgis',
      'timescale',
      'timescalegis',
      'ecto',
    ],
    ...[
      'pgx',
      'pgx4',
      'pgx5',
      'pg',
      'pdo-pgsql',
      'asyncpg',
      'postgresql+psycopg',
      'postgresql+psycopg_async',
    ],
    ...[
      'postgresql+asyncpg',
      'postgresql+pg8000',
      'postgres+pool',
      'jdbc:postgresql',
      'jdbc:p6spy:postgresql',
    ],
    ...[
      'r2dbc:postgresql',
      'r2dbc:pool:postgresql',
      'r2dbcs:postgresql',
      'r2dbc:postgresql:failover',
      'db:pg',
    ],
  ])('%s://', (scheme) => {
    expect(read(`${scheme}://u:pw@h:7/d`).describe).toBe('u@h:7/d');
  });

  test.each([
    ['mysql://u:geheim@h/d', /MySQL.*only PostgreSQL is supported/],
    ['mysql+pymysql://u:geheim@h/d', /MySQL.*only PostgreSQL is supported/],
    ['jdbc:mariadb://u:geheim@h/d', /MariaDB.*only PostgreSQL is supported/],
    ['sqlite:///geheim.db', /SQLite.*only PostgreSQL is supported/],
    ['mongodb+srv://u:geheim@h/d', /MongoDB.*only PostgreSQL is supported/],
    ['sqlserver://h;password=geheim', /SQL Server.*only PostgreSQL is supported/],
    ['geheim://u:p@h/d', /only PostgreSQL is supported/],
    ['prisma+postgres://h/?api_key=geheim', /Prisma/],
    // Each of these names a database somewhere else.
    ['postgres+ssh://u:geheim@h/d', /driver/],
    ['postgres+unix://u:geheim@h/d', /driver/],
    ['postgresql+auroradataapi://u:geheim@/d', /driver/],
    ['jdbc:tc:postgresql:15:///geheim', /only PostgreSQL/],
  ])('%s is refused', (url, message) => {
    const error = failure(() => read(url));
    expect(error.message).toMatch(message);
    expect(`${error.message} ${error.hint}`).not.toMatch(/geheim|%40/);
  });

  test.each<[string, Partial<ConnectionConfig>]>([
    ['host=a:1&host=b:2', { describe: 'u@a:1,b:2/d' }],
    ['host=a&host=b&port=1&port=2', { describe: 'u@a:1,b:2/d' }],
    ['host=a:1,b', { describe: 'u@a:1,b:5432/d' }],
    ['host=::1', { describe: 'u@[::1]:5432/d' }],
    ['host=h&pgbouncer', { ignored: ['pgbouncer'] }],
    [
      'host=h&options[search_path]=x&schema=y',
      { ignored: ['options[search_path]', 'schema'], options: undefined },
    ],
    ['host=h&options%5Bsearch_path%5D=x', { ignored: ['options[search_path]'] }],
    ['host=h&variables[statement_timeout]=5', { ignored: ['variables[statement_timeout]'] }],
    ['host=h&application_name=deploy@ci', { ignored: [] }],
    ['host=h&nobody_knows=1', { ignored: ['nobody_knows'] }],
    ['host=h&sslMode=verify-full&sslRootCert=/ca', { ssl: 'verify-full', tls: { ca: pem('/ca') } }],
    ['host=h&x-migrations-table=m&serverVersion=16&loadBalanceHosts=true', {}],
    ['host=h&targetServerType=primary', { ignored: [] }],
  ])('?%s', (query, expected) => {
    expect(read(`postgres://u:pw@/d?${query}`)).toMatchObject(expected);
  });

  test('accepts a trailing slash, and an @ in a parameter', () => {
    expect(read('postgres://u:pw@h/d/').describe).toBe('u@h:5432/d');
    expect(read('postgres://u:pw@h/d/?sslmode=require').ssl).toBe('require');
    expect(read('postgres://h/d?user=u&application_name=deploy@ci').describe).toBe('u@h:5432/d');
  });

  test('ssl=true of JDBC and R2DBC, and r2dbcs, verify the server', () => {
    for (const url of [
      'jdbc:postgresql://h/d?user=u&ssl=true',
      'r2dbc:postgresql://u@h/d?ssl=true',
      'r2dbcs:postgresql://u@h/d',
    ])
      expect(read(url).ssl).toBe('verify-full');
    expect(read('jdbc:postgresql://h/d?user=u&ssl=true&sslmode=require').ssl).toBe('require');
  });
});

describe('a parameter that may say where the database is, or how securely to connect', () => {
  test.each([
    ['postgresql://app:geheim@/shop?unix_sock=/srv/sock/.s.PGSQL.5432', 'unix_sock'],
    [
      'jdbc:postgresql:///shop?user=u&cloudSqlInstance=p:r:i&socketFactory=com.google.x',
      'cloudSqlInstance, socketFactory',
    ],
    ['postgres://u:geheim@h/d?socketFactory=x', 'socketFactory'],
    ['postgres://u:geheim@h/d?unixSocketPath=/x', 'unixSocketPath'],
    ['postgres://u:geheim@h/d?instance=x', 'instance'],
    ['postgres://u:geheim@h/d?fallback_host=x', 'fallback_host'],
    ['postgres://u:geheim@h/d?sslidentity=x.p12', 'sslidentity'],
    ['postgres://u:geheim@h/d?sslfactory=x', 'sslfactory'],
    ['postgres://u:geheim@h/d?tls_ca=x', 'tls_ca'],
    ['postgres://u:geheim@h/d?authenticationPluginClassName=x', 'authenticationPluginClassName'],
    ['postgres://u:geheim@h/d?enableIamAuth=true', 'enableIamAuth'],
    ['postgres://u:geheim@h/d?direct_tls=true', 'direct_tls'],
    ['postgres://u:geheim@h/d?options[endpoint]=x', 'options[endpoint]'],
    ['postgres://u:geheim@h/d?ssl[rejectUnauthorized]=true', 'ssl[rejectUnauthorized]'],
    ['postgres://u:geheim@h/d?username=x', 'username'],
    ['postgres://u:geheim@h/d?databaseName=x', 'databaseName'],
    ...['path', 'network', 'ip', 'catalog', 'connectionName', 'connection_name', 'ca', 'caFile', 'key'].map(
      (name): [string, string] => [`postgres://u:geheim@h/d?${name}=x`, name],
    ),
    ['postgres://u:geheim@/d?nobody_knows=x', 'nobody_knows'],
    ['postgres://u:geheim@/d?schema=x&nobody_knows=x', 'nobody_knows'],
  ])('%s is refused, and the error names it', (url, named) => {
    const error = failure(() => read(url, { PGHOST: 'elsewhere' }));
    expect(error.exitCode).toBe(64);
    expect(error.message).toContain(`: ${named}.`);
    expect(`${error.message} ${error.hint}`).not.toContain('geheim');
  });

  test.each([
    ['sslmod', 'sslmode'],
    ['ssl_mode', 'sslmode'],
    ['sslrootcrt', 'sslrootcert'],
    ['SSLMod', 'sslmode'],
    ['hostadr', 'hostaddr'],
    ['sevice', 'service'],
    ['chanel_binding', 'channel_binding'],
    ['require_aut', 'require_auth'],
    ['db_endpoint', undefined],
    ['cloudSqlInstance', undefined],
  ])('the error about ?%s asks whether %s was meant', (written, meant) => {
    const { message, hint } = failure(() => read(`postgres://app@db/shop?${written}=x`));
    expect(message).toContain(`not supported: ${written}.`);
    if (meant === undefined) expect(hint).not.toContain('Did you mean');
    else expect(hint).toMatch(new RegExp(`^Did you mean ${meant}\\? It may say`));
  });

  test('a misspelt parameter that would be ignored is ignored', () => {
    expect(read('postgres://u@h/d?aplication_name=x').ignored).toEqual(['aplication_name']);
  });

  test.each(['sslmode=', 'ssl', 'ssl=', 'sslmode', 'sslrootcert=', 'target_session_attrs='])(
    '?%s is refused without a value',
    (query) => {
      const { message } = failure(() => read(`postgres://u@h/d?${query}`));
      expect(message).toBe(
        `The database URL is not a PostgreSQL URL: its parameter ${query.replace('=', '')} has no value.`,
      );
    },
  );

  test('is refused when it appears twice', () => {
    expect(failure(() => read('postgres://u@h/d?sslmode=disable&sslmode=verify-full')).message).toContain(
      'its parameter sslmode is there twice',
    );
    expect(read('postgres://u@h/d?sslmode=require&sslmode=require&schema=a&schema=b').ssl).toBe('require');
  });
});

describe('a setting that is given twice, with different values', () => {
  test.each([
    ['postgres://u:geheim@h/d?database=other', 'database'],
    ['postgres://u:geheim@h/d?dbname=other', 'database'],
    ['postgres://u:geheim@h?dbname=a&database=b', 'database'],
    ['postgres://u:geheim@h/d?host=other', 'host'],
    ['postgres://u:geheim@h:1/d?port=2', 'port'],
  ])('%s: drivers differ in which one they use', (url, what) => {
    const error = failure(() => read(url));
    expect(error.exitCode).toBe(64);
    expect(error.message).toBe(`The database URL names the ${what} twice, with different values.`);
  });

  test.each([
    ['postgres://u:p@h:5/d?dbname=d&database=d&host=h&port=5', 'u@h:5/d'],
    ['postgres://u:p@localhost:5432/d?host=/cloudsql/a', 'u@/cloudsql/a:5432/d'],
    ['postgres://u:p@h?database=d', 'u@h:5432/d'],
  ])('%s is clear', (url, describe) => {
    expect(read(url).describe).toBe(describe);
  });
});

describe('a URL in the place of a name is not shown', () => {
  const URL_IN_IT = 'postgres://u:geheim@h/d';
  test.each<[string, string, Record<string, string>]>([
    ['PGDATABASE', 'postgres://u@h', { PGDATABASE: URL_IN_IT }],
    ['PGUSER', 'postgres://h/d', { PGUSER: URL_IN_IT }],
    [
      'dbname in the database URL',
      `postgres://u@h?dbname=${encodeURIComponent(URL_IN_IT).replaceAll('%40', 'x')}`,
      {},
    ],
  ])('%s', (name, url, env) => {
    const error = failure(() => read(url, env));
    expect(error.message).toBe(`${name} holds a URL.`);
  });
});

describe('a host that is neither a name nor an address', () => {
  test.each([
    'db:5432',
    'db:',
    '[::1]',
    '[::1]:5432',
    ' db',
    '"db"',
    '{host}',
    '<host>',
    './run',
    '@abstract',
  ])('PGHOST=%s', (host) => {
    const error = failure(() => fromEnv({ PGHOST: host, PGDATABASE: 'd' }));
    expect(error.message).toBe('The host of the database is neither a name nor an address.');
    expect(error.hint).toContain(/[:[]/.test(host) ? 'PGPORT' : 'quotation marks');
  });

  test.each(['db_1.example-x.com', '::1', 'fe80::1%eth0', 'bücher.example', '10.0.0.1', '/run/my sockets'])(
    'PGHOST=%s is one',
    (host) => {
      expect(fromEnv({ PGHOST: host, PGDATABASE: 'd' }).hosts).toEqual([{ host, port: 5432 }]);
    },
  );

  test('an @ after which no host comes is not this machine', () => {
    expect(failure(() => read('postgres://u:p@@DB_HOST@/d')).message).toContain('user or password');
  });
});

describe('a variable that was not expanded', () => {
  test.each([
    ...[
      'postgres://u:p@${DB_HOST}/d',
      'postgres://u:p@${DB_HOST:-localhost}:5432/d',
      'postgres://u:p@$DB_HOST/d',
    ],
    ...['postgres://u:p@$(DB_HOST)/d', 'postgres://u:p@{{ .Values.host }}/d', 'postgres://u:p@%DB_HOST%/d'],
    ...['postgres://$DB_USER:p@h/d', 'postgres://u:$DB_PASSWORD@h/d', 'postgres://u:${DB_PASSWORD}@h/d'],
    ...['postgres://u:%DB_PASSWORD%@h/d', 'postgres://u:p@h/$DB_NAME', 'postgres://u:p@h/app_$ENV'],
    ...['postgres://u:p@h:$PORT/d', 'postgres://u:p@h:%PORT%/d', 'postgres://u:p@h/d?host=$DB_HOST'],
    ...['postgres://u:p@h/d?sslmode=$SSLMODE', 'postgres://u:p@db-$ENV.internal/d', '${DATABASE_URL}'],
    ...[
      '$DATABASE_URL',
      '%DATABASE_URL%',
      'postgres://u:$(cat /run/secrets/pw)@h/d',
      'postgres://u:p@#{DB_HOST}/d',
    ],
    ...['postgres://u:p@<no value>/d', 'postgres://u:p@$%7BDB_HOST%7D/d', 'postgres://u:<%= pw %>@h/d'],
  ])('%s', (url) => {
    const error = failure(() => read(url));
    expect(error.message).toMatch(
      /^The database URL is not a PostgreSQL URL: a variable in it.* was not expanded\.$/,
    );
    expect(error.hint).toContain('%24');
    expect(error.message).not.toMatch(/DB_|ENV|PORT/);
  });

  test.each([
    ['postgres://u:pa$word@h/d', 'pa$word'],
    ['postgres://u:%24DB_PASSWORD@h/d', '$DB_PASSWORD'],
    ['postgres://u:100%25safe@h/d', '100%safe'],
    ['postgres://u:p$1(a)@h/d', 'p$1(a)'],
  ])('%s does not count as one', (url, password) => {
    expect(read(url).password).toBe(password);
  });

  test.each([
    ['PGHOST', '${DB_HOST}'],
    ['PGHOST', '$DB_HOST'],
    ['PGHOST', '%DB_HOST%'],
    ['PGPORT', '$(DB_PORT)'],
    ['PGDATABASE', '{{ db }}'],
    ['PGUSER', '$DB_USER'],
    ['PGPASSWORD', '${DB_PASSWORD}'],
    ['PGPASSWORD', '$DB_PASSWORD'],
    ['PGSSLMODE', '$SSLMODE'],
    ['PGSERVICE', '$SERVICE'],
    ['PGOPTIONS', '-c role=${ROLE}'],
  ])('%s=%s', (name, value) => {
    const error = failure(() => fromEnv({ PGHOST: 'h', [name]: value }));
    expect(error).toMatchObject({ exitCode: 64, message: `${name} holds a variable that was not expanded.` });
  });

  test('similar text does not count as one', () => {
    const env = {
      PGHOST: 'h',
      PGUSER: 'app$1',
      PGPASSWORD: 'a${b}c$D',
      PGOPTIONS: '-c search_path="$user",public',
    };
    expect(fromEnv(env)).toMatchObject({ user: 'app$1', password: 'a${b}c$D', options: env.PGOPTIONS });
    // Parameters that are not used do not matter.
    expect(read('postgres://u:p@h/d', { PGHOST: '${DB_HOST}' }).describe).toBe('u@h:5432/d');
  });
});

describe('a URL that names no database', () => {
  test.each([
    'postgres://:@:5432/',
    'postgres://:@/',
    'postgres://@:5432',
    'postgres://:@:5432/app',
    'postgres://',
  ])('%s', (url) => {
    expect(failure(() => read(url))).toMatchObject({
      exitCode: 64,
      message: 'The database URL names no user, no password and no host: they are empty.',
    });
  });

  test('is refused even with PG* variables, when it looks like a URL with unset variables', () => {
    expect(failure(() => read('postgres://:@:5432/', { PGHOST: 'h' })).message).toContain('they are empty');
    expect(read('postgres://', { PGHOST: 'h', PGUSER: 'u', PGDATABASE: 'd' }).describe).toBe('u@h:5432/d');
  });
});

describe('an error names the wrong part, and its hint fits', () => {
  test.each<[string, RegExp, RegExp]>([
    ['postgres://u:caf%E9@h/d', /its password has percent-encoded bytes that are not UTF-8/, /%C3%A9/],
    ['postgres://caf%E9:p@h/d', /its user has percent-encoded bytes that are not UTF-8/, /%C3%A9/],
    ['postgres://u:p@h/caf%E9', /its database's name has percent-encoded/, /%C3%A9/],
    ['postgres://u:100%@h/d', /a % in its password is not followed by/, /%25/],
    ['postgres://u:p@h:port/d', /its port is not a number/, /^It has to look like [^%]*$/],
    ['postgres://u:p@fdaa::3/d', /its host .*brackets/, /^It has to look like [^%]*$/],
    ['postgres://u:p@h/d?options=%zz', /its parameter options/, /%25/],
    ['postgres://u:p/w@h/d', /user or password/, /%2F/],
    ['postgres://u:p@h/a/b', /its database's name/, /%2F/],
    ['DATABASE_URL=postgres://u:p@h/d', /an assignment, as NAME=/, /the URL alone/],
    ['export DATABASE_URL="postgres://u:p@h/d"', /an assignment, as NAME=/, /the URL alone/],
    ['DATABASE_URL: postgres://u:p@h/d', /an assignment, as NAME=/, /the URL alone/],
    ['A=1\nDATABASE_URL=postgres://u:p@h/d', /a list of keywords or an assignment/, /./],
    ["'postgres://u:p@h/d'", /a quotation mark/, /the URL alone/],
    ['postgres://u:p@h/d?sslmode=nonsense', /^sslmode in the database URL has a value/, /verify-full/],
    ['postgres://u:p@h:0/d', /port/, /5432/],
  ])('%j', (url, message, hint) => {
    const error = failure(() => read(url));
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
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

test('an encoded password is decoded', () => {
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

test('a password that is not encoded is refused or used as it is, and appears nowhere else', () => {
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
