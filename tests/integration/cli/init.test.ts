import { spawnSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { SCHEMA_VERSION } from '../../../src/schema/schema-version.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { catalogOf, fingerprint } from './catalog.js';

/**
 * Every character that could end a name, a string, a body or a line in SQL or psql, or is special to JavaScript's
 * replace.
 */
/** A name like an unexpanded variable (`$body$`) is refused; tests/adversarial/hostile/sql tests that. */
const HOSTILE = `a"b'c $$ \\ ; -- /* $& $ :x :'x' %I\nü`;

let byInit: TestDatabase;
let byPsql: TestDatabase;

beforeAll(async () => {
  [byInit, byPsql] = await Promise.all([createDatabase(), createDatabase()]);
});
beforeEach(async () => {
  for (const { sql } of [byInit, byPsql]) {
    for (const schema of ['migrate_lock', HOSTILE]) {
      await sql`DROP SCHEMA IF EXISTS ${sql(schema)} CASCADE`;
    }
  }
});
afterEach(() => assertNothingLeft());
afterAll(() => Promise.all([byInit.drop(), byPsql.drop()]));

function init(args: string[], env: Record<string, string> = { DATABASE_URL: byInit.url }) {
  return runCli(['init', ...args], { env, auditOnly: !args.includes('--print') });
}

describe('migrate-lock init', () => {
  test('applies the lock schema, reports it once, and changes nothing the second time', async () => {
    const first = await init([]);
    expect(first.code).toBe(0);
    expect(first.events).toEqual([
      expect.objectContaining({
        event: 'schema.applied',
        fromVersion: null,
        toVersion: SCHEMA_VERSION,
        database: byInit.name,
        schema: 'migrate_lock',
      }),
    ]);
    expect(await byInit.sql`SELECT FROM migrate_lock.migration_lock`).toHaveLength(0);
    expect(await byInit.sql`SELECT FROM migrate_lock.migration_lock_audit`).toHaveLength(0);

    const before = await fingerprint(byInit.sql);
    const second = await init([]);
    expect(second).toMatchObject({ code: 0, stdout: '' });
    expect(second.stderr).toContain('nothing was changed');
    expect(await fingerprint(byInit.sql)).toEqual(before);
  });

  test('changes nothing outside its schema', async () => {
    const before = await fingerprint(byInit.sql);
    expect((await init([])).code).toBe(0);
    expect(await fingerprint(byInit.sql)).not.toEqual(before);
    await byInit.sql`DROP SCHEMA migrate_lock CASCADE`;
    expect(await fingerprint(byInit.sql)).toEqual(before);
  });

  test('--quiet writes nothing to stderr', async () => {
    expect(await init(['--quiet'])).toMatchObject({ code: 0, stderr: '' });
    expect(await init(['--quiet'])).toMatchObject({ code: 0, stderr: '', stdout: '' });
  });

  test('prepares the schema completely: the next run applies nothing', async () => {
    expect((await init([])).code).toBe(0);
    const { code, events } = await runCli(['run', '--', 'true'], { env: { DATABASE_URL: byInit.url } });
    expect(code).toBe(0);
    expect(events.map(({ event }) => event)).not.toContain('schema.applied');
  });

  test('exits with 77 and a hint when the role lacks the right', async () => {
    const role = await byInit.createRole();
    const { code, stderr, stdout } = await init([], { DATABASE_URL: role.url });
    expect(code).toBe(77);
    expect(stdout).toBe('');
    expect(stderr).toContain('`migrate-lock init`');
  });

  test('exits with 69 when no server answers, and with 64 when no database is named', async () => {
    expect((await init([], { DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/db' })).code).toBe(69);
    expect((await init([], {})).code).toBe(64);
  });
});

describe('migrate-lock init --print', () => {
  test('needs no database and changes nothing', async () => {
    const before = await fingerprint(byInit.sql);
    const { code, stdout, stderr } = await init(['--print']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain('CREATE SCHEMA "migrate_lock"');
    expect(await fingerprint(byInit.sql)).toEqual(before);
    expect(await init(['--print'], {})).toMatchObject({ code: 0, stdout });
  });

  const psql = spawnSync('psql', ['--version']).status === 0;
  const withPsql = psql ? test : test.skip;
  const title = psql ? '' : "SKIPPED, no psql here (Debian's package postgresql-client): ";

  withPsql.each([
    ['the usual name', 'migrate_lock'],
    ['a hostile name', HOSTILE],
  ])(`${title}fed to psql gives the same schema as init, %s`, async (_, schema) => {
    expect((await init(['--schema', schema])).code).toBe(0);
    const printed = await init(['--print'], { MIGRATE_LOCK_SCHEMA: schema });
    expect(applyWithPsql(byPsql.url, printed.stdout)).toEqual({ status: 0, stderr: '' });

    const catalog = await catalogOf(byPsql.sql, schema);
    for (const [part, rows] of Object.entries(catalog))
      expect({ part, n: rows.length }).not.toEqual({ part, n: 0 });
    expect(catalog).toEqual(await catalogOf(byInit.sql, schema));
  });

  withPsql(`${title}with --grant-to, the role can then migrate`, async () => {
    const role = await byPsql.createRole();
    const { stdout } = await init(['--print', '--grant-to', role.name]);
    expect(applyWithPsql(byPsql.url, stdout)).toEqual({ status: 0, stderr: '' });

    expect(await init([], { DATABASE_URL: role.url })).toMatchObject({ code: 0, events: [] });
    const { code, events } = await runCli(['run', '--', 'true'], { env: { DATABASE_URL: role.url } });
    expect(code).toBe(0);
    expect(events.map(({ event }) => event)).toContain('lock.released');
    expect(events.map(({ event }) => event)).not.toContain('schema.applied');
  });

  withPsql(`${title}a second time it fails as a whole and changes nothing`, async () => {
    const { stdout } = await init(['--print']);
    expect(applyWithPsql(byPsql.url, stdout).status).toBe(0);
    const before = await fingerprint(byPsql.sql);
    expect(applyWithPsql(byPsql.url, stdout)).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('already exists'),
    });
    expect(await fingerprint(byPsql.sql)).toEqual(before);
  });
});

/** Without psqlrc, and the first error ends it. */
function applyWithPsql(url: string, script: string) {
  const { status, stderr } = spawnSync('psql', ['--no-psqlrc', '--quiet', '--set', 'ON_ERROR_STOP=1', url], {
    input: script,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  });
  return { status, stderr };
}
