import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { OwnDatabase } from '../../../src/db/own-database.js';
import { UsageError } from '../../../src/errors.js';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';

// Service files as libpq reads them; psql has to agree where it is installed.

const hasPsql = spawnSync('psql', ['--version'], { stdio: 'ignore' }).status === 0;
const WHO = `SELECT current_user || '@' || current_database() AS answer`;

type Env = Record<string, string>;
let db: TestDatabase;
let role: TestRole;
let folder: string;
/** The value of `$name` in a service file or a variable. */
const names: Record<string, string> = {};

beforeAll(async () => {
  db = await createDatabase();
  role = await db.createRole();
  await db.sql`GRANT CREATE ON DATABASE ${db.sql(db.name)} TO ${db.sql(role.name)}`;
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-service-'));
  const { hostname, port, username, password } = new URL(db.url);
  Object.assign(names, { host: hostname, port, db: db.name, admin: username, adminPassword: password });
  Object.assign(names, { user: role.name, password: new URL(role.url).password, folder });
  mkdirSync(join(folder, 'system'));
});
afterEach(async () => {
  rmSync(join(folder, '.pg_service.conf'), { force: true });
  rmSync(join(folder, 'system', 'pg_service.conf'), { force: true });
  await assertNothingLeft();
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
});

const filledIn = (text: string): string => text.replace(/<(\w+)>/g, (_, name: string) => names[name] ?? '');
const write = (name: string, text: string): void => {
  writeFileSync(join(folder, name), filledIn(text));
};
const environment = (env: Env): Env => ({
  HOME: folder,
  PGSYSCONFDIR: join(folder, 'system'),
  ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, filledIn(value)])),
});

async function ours(env: Env, url?: string): Promise<string> {
  let database: OwnDatabase;
  try {
    database = new OwnDatabase(readConnectionConfig({ url: url && filledIn(url), env: environment(env) }));
  } catch (error) {
    if (error instanceof UsageError) return 'refused';
    throw error;
  }
  try {
    return String(await database.call({ name: 'ask', statement: WHO, parameters: [], limitMs: 5_000 }));
  } finally {
    database.disconnect();
  }
}

function psql(env: Env, url?: string): string {
  const { PATH = '' } = process.env;
  const named = url === undefined ? [] : ['-d', filledIn(url)];
  const { status, stdout } = spawnSync('psql', ['-XAtw', ...named, '-c', WHO], {
    env: { PATH, PGCONNECT_TIMEOUT: '5', ...environment(env) },
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : 'refused';
}

const WHOLE = 'host=<host>\nport=<port>\ndbname=<db>\nuser=<user>\npassword=<password>\n';
const [ROLE, ADMIN] = ['<user>@<db>', '<admin>@<db>'];

describe('a service file is read as libpq reads it', () => {
  test.each<[string, string, Env, string | undefined, string]>([
    ['the whole of it', `[shop]\n${WHOLE}`, { PGSERVICE: 'shop' }, undefined, ROLE],
    ['in the URL', `[shop]\n${WHOLE}`, {}, 'postgres:///?service=shop', ROLE],
    [
      'the URL comes before it',
      `[shop]\n${WHOLE}`,
      {},
      'postgres://<admin>:<adminPassword>@/?service=shop',
      ADMIN,
    ],
    [
      'the URL comes before it, at each place',
      `[shop]\n${WHOLE}`,
      {},
      'postgres:///?service=shop&user=<admin>&password=<adminPassword>',
      ADMIN,
    ],
    [
      'it comes before variables',
      `[shop]\n${WHOLE}`,
      { PGSERVICE: 'shop', PGUSER: 'x', PGPORT: '1', PGHOST: 'x' },
      undefined,
      ROLE,
    ],
    [
      'variables complete it',
      `[shop]\nhost=<host>\nport=<port>\n`,
      { PGSERVICE: 'shop', PGUSER: '<user>', PGPASSWORD: '<password>', PGDATABASE: '<db>' },
      undefined,
      ROLE,
    ],
    [
      'service in the URL before PGSERVICE',
      `[a]\nhost=nowhere.invalid\n[shop]\n${WHOLE}`,
      { PGSERVICE: 'a' },
      'postgres:///?service=shop',
      ROLE,
    ],
    [
      'comments, blanks, line ends of Windows',
      `# c\r\n\r\n  [shop]\r\n  ${WHOLE.replaceAll('\n', ' \r\n  ')}`,
      { PGSERVICE: 'shop' },
      undefined,
      ROLE,
    ],
    [
      'the first of two values, of two sections',
      `[shop]\n${WHOLE}user=x\n[shop]\nuser=y\n`,
      { PGSERVICE: 'shop' },
      undefined,
      ROLE,
    ],
    [
      'not a section whose name only begins so',
      `[shop2]\nhost=nowhere.invalid\n[shop]\n${WHOLE}`,
      { PGSERVICE: 'shop' },
      undefined,
      ROLE,
    ],
    [
      'a value with an equals sign and blanks',
      `[shop]\n${WHOLE}application_name=a = b\n`,
      { PGSERVICE: 'shop' },
      undefined,
      ROLE,
    ],
    [
      'options',
      `[shop]\n${WHOLE}options=-c role=<user>\n`,
      { PGSERVICE: 'shop', PGUSER: 'x' },
      undefined,
      ROLE,
    ],
    ['no such section', `[other]\n${WHOLE}`, { PGSERVICE: 'shop' }, undefined, 'refused'],
    [
      'a service in a service',
      `[shop]\n${WHOLE}service=other\n`,
      { PGSERVICE: 'shop' },
      undefined,
      'refused',
    ],
    ['an unknown parameter', `[shop]\n${WHOLE}schema=x\n`, { PGSERVICE: 'shop' }, undefined, 'refused'],
    ['a line without a sign', `[shop]\n${WHOLE}nonsense\n`, { PGSERVICE: 'shop' }, undefined, 'refused'],
    [
      'blanks before the sign',
      `[shop]\n${WHOLE}sslmode =disable\n`,
      { PGSERVICE: 'shop' },
      undefined,
      'refused',
    ],
    [
      'nonsense in another section',
      `[other]\nnonsense\n[shop]\n${WHOLE}`,
      { PGSERVICE: 'shop' },
      undefined,
      ROLE,
    ],
  ])('%s', async (_, content, env, url, expected) => {
    write('.pg_service.conf', content);
    expect(await ours(env, url)).toBe(filledIn(expected));
    if (hasPsql) expect(psql(env, url)).toBe(filledIn(expected));
  });

  test('is searched in the same places', async () => {
    const both = async (env: Env, expected: string) => {
      expect(await ours({ PGSERVICE: 'shop', ...env })).toBe(filledIn(expected));
      if (hasPsql) expect(psql({ PGSERVICE: 'shop', ...env })).toBe(filledIn(expected));
    };
    await both({}, 'refused');
    write('system/pg_service.conf', `[shop]\n${WHOLE}`);
    await both({}, ROLE);
    write('.pg_service.conf', `[other]\nhost=x\n`);
    await both({}, ROLE);
    write(
      '.pg_service.conf',
      `[shop]\n${WHOLE.replace('<user>', '<admin>').replace('<password>', '<adminPassword>')}`,
    );
    await both({}, ADMIN);
    write('own.conf', `[shop]\n${WHOLE}`);
    await both({ PGSERVICEFILE: '<folder>/own.conf' }, ROLE);
    await both({ PGSERVICEFILE: '<folder>/none.conf' }, 'refused');
    // Since PostgreSQL 18 a parameter can name it too.
    expect(await ours({}, 'postgres:///?service=shop&servicefile=<folder>/own.conf')).toBe(filledIn(ROLE));
  });
});

describe('a refused service file is named, and none of its values is repeated', () => {
  const failure = (content: string, env: Env = {}): string => {
    write('.pg_service.conf', content);
    try {
      readConnectionConfig({ env: environment({ PGSERVICE: 'shop', ...env }) });
    } catch (error) {
      if (error instanceof UsageError) return `${error.message} ${error.hint}`;
      throw error;
    }
    throw new Error('it did not fail');
  };

  test.each([
    ['[other]\npassword=geheim\n', /is not defined: .*\.pg_service\.conf does not have it/],
    ['[shop]\npassword geheim\n', /\.pg_service\.conf, line 2/],
    ['[shop]\nhost=h\ngeheim=geheim\n', /\.pg_service\.conf, line 3/],
    ['[shop]\nldap://geheim\n', /line 2\): .*LDAP/],
    ['[shop]\nhost=h\ngssencmode=require\n', /^gssencmode of the service asks for GSSAPI encryption/],
    ['[shop]\nhost=${geheim}\n', /^host of the service holds a variable/],
  ])('%j', (content, message) => {
    const said = failure(content);
    expect(said).toMatch(message);
    expect(said).not.toContain('geheim');
  });

  test('the password in a service is a secret', () => {
    write('.pg_service.conf', '[shop]\nhost=h\npassword=geheim\n');
    expect(readConnectionConfig({ env: environment({ PGSERVICE: 'shop' }) }).secrets).toContain('geheim');
  });
});

test('two runs exclude each other when one names the database by a service', async () => {
  write('.pg_service.conf', `[shop]\n${WHOLE}`);
  const holder = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: role.url } });
  await holder.waitForEvent('child.started');
  for (const env of [{ DATABASE_URL: 'postgresql:///?service=shop' }, { PGSERVICE: 'shop' }]) {
    const { code } = await runCli(['run', '--wait-timeout', '0', '--', 'true'], {
      env: { ...environment({}), ...env },
    });
    expect(code).toBe(75);
  }
  holder.kill('SIGTERM');
  await holder.done;
});

describe('the authentication settings of a service', () => {
  const demand = (line: string, env: Env = {}) => {
    write('.pg_service.conf', `[app]\nhost=h\ndbname=d\nuser=u\n${line}\n`);
    return readConnectionConfig({ env: environment({ PGSERVICE: 'app', ...env }) });
  };

  test('channel_binding overrides the variable', () => {
    const { auth, ignored } = demand('channel_binding=require', { PGCHANNELBINDING: 'disable' });
    expect(auth).toMatchObject({ channelBinding: 'require' });
    expect(ignored).toEqual([]);
  });

  test('require_auth is honoured', () => {
    const { auth, ignored } = demand('require_auth=scram-sha-256');
    expect(auth).toEqual({ channelBinding: 'prefer', methods: ['scram-sha-256'], allowsNone: false });
    expect(ignored).toEqual([]);
  });

  test.each(['channel_binding=always', 'require_auth=everything'])(
    '%s is refused, and the error names it',
    (line) => {
      const [parameter] = line.split('=');
      expect(() => demand(line)).toThrow(`${parameter} of the service has a value`);
    },
  );
});
