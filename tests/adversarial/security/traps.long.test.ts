import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { CALLS } from '../../../src/generated/sql.js';
import { renderSql } from '../../../src/schema/render.js';
import { createDatabase, type TestDatabase, type TestRole } from '../../support/database.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';

/**
 * Code of another role in the schema of the lock, created before migrate-lock comes. It must not run with another
 * role's rights:
 * the sequence `stolen` counts, past every rollback, how often it did. Where the role can make itself a superuser, it
 * does.
 */

let db: TestDatabase;
let evil: TestRole;
let plain: TestRole;
let sessions: postgres.Sql[] = [];

beforeAll(async () => {
  db = await createDatabase();
  [evil, plain] = [await db.createRole(), await db.createRole()];
});
beforeEach(async () => {
  await db.sql.unsafe(`
    CREATE SCHEMA booty; CREATE SEQUENCE booty.stolen; GRANT USAGE ON SCHEMA booty TO PUBLIC;
    GRANT USAGE ON SEQUENCE booty.stolen TO PUBLIC; GRANT CREATE ON DATABASE ${db.name} TO ${evil.name}`);
});
afterEach(async () => {
  await Promise.all(sessions.map((session) => session.end({ timeout: 1 })));
  sessions = [];
  await db.sql.unsafe(`
    DROP SCHEMA IF EXISTS migrate_lock CASCADE; DROP SCHEMA booty CASCADE; DROP OWNED BY ${evil.name} CASCADE;
    ALTER DATABASE ${db.name} RESET ALL; ALTER ROLE ${plain.name} RESET ALL; ALTER ROLE postgres IN DATABASE ${db.name} RESET ALL`);
  await assertNothingLeft();
});
afterAll(() => db.drop());

function as(url: string): postgres.Sql {
  const session = postgres(url, { max: 1, onnotice: () => undefined });
  sessions.push(session);
  return session;
}

/** The body of a function that steals, with the rights of any role but evil. */
const steal = () => `
  BEGIN
    IF current_user OPERATOR(pg_catalog.<>) '${evil.name}' THEN
      PERFORM nextval('booty.stolen');
      BEGIN
        EXECUTE 'ALTER ROLE ${evil.name} SUPERUSER';
      EXCEPTION WHEN OTHERS THEN NULL;
      END;
    END IF;`;

/** How often evil's code ran as another role, and whether evil is a superuser now. */
const stolen = async () => {
  const [row] = await db.sql<{ times: number; isSuperuser: boolean }[]>`
    SELECT CASE WHEN is_called THEN last_value::int ELSE 0 END AS times,
           (SELECT rolsuper FROM pg_roles WHERE rolname = ${evil.name}) AS "isSuperuser" FROM booty.stolen`;
  return row;
};

const UNTOUCHED = { times: 0, isSuperuser: false };

const lie = (head: string, answer: string) =>
  `CREATE FUNCTION migrate_lock.${head} LANGUAGE plpgsql IMMUTABLE AS $$ ${steal()} RETURN ${answer}; END $$;`;

const VERSION_TABLE = `
  CREATE TABLE migrate_lock.migration_lock_version (version int, oldest_program int);
  INSERT INTO migrate_lock.migration_lock_version VALUES (1, 1);
  GRANT ALL ON migrate_lock.migration_lock_version TO PUBLIC;`;

const version = () => lie('version() RETURNS jsonb', `'{"version": 1, "oldestProgram": 1}'::jsonb`);

/** Every function that the program calls, created by evil, with the caller's rights. */
function everything(): string {
  const names =
    'poll read_run_key watch release leave extend assert_held cleanup status history chain unlock prune configure admit expel';
  return `${version()} ${VERSION_TABLE}
    DO $do$ BEGIN
      ${names
        .split(' ')
        .flatMap((name) =>
          Array.from({ length: 17 }, (_, n) => {
            const types = Array.from({ length: n }, () => 'anyelement').join(', ');
            return n === 0
              ? `CREATE FUNCTION migrate_lock.${name}() RETURNS jsonb LANGUAGE plpgsql AS $f$ ${steal()} RETURN '{}'; END $f$;`
              : `CREATE FUNCTION migrate_lock.${name}(${types}) RETURNS jsonb LANGUAGE plpgsql AS $f$ ${steal()} RETURN '{}'; END $f$;`;
          }),
        )
        .join('\n')}
    END $do$;
    CREATE FUNCTION migrate_lock.status(VARIADIC text[] DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$ ${steal()} RETURN '{}'; END $$;`;
}

const TRIGGERS = () => `
  CREATE FUNCTION migrate_lock.trap() RETURNS trigger LANGUAGE plpgsql AS $$ ${steal()} RETURN NEW; END $$;
  CREATE TABLE migrate_lock.migration_lock (id int, instance_id text);
  CREATE CONSTRAINT TRIGGER trap AFTER INSERT OR UPDATE ON migrate_lock.migration_lock
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION migrate_lock.trap();
  INSERT INTO migrate_lock.migration_lock VALUES (1, 'x'); GRANT ALL ON migrate_lock.migration_lock TO PUBLIC;`;

/** Objects of evil in its own schema. */
const TRAPS: Record<string, () => string> = {
  nothing: () => '',
  'version()': version,
  'version() and the table of it': () => version() + VERSION_TABLE,
  'begin_change()': () => lie('begin_change() RETURNS void', '').replace('RETURN ;', ''),
  'every function that we call': everything,
  'an operator': () => `
    ${lie('eq(text, text) RETURNS boolean', 'true')} ${VERSION_TABLE}
    CREATE OPERATOR migrate_lock.= (LEFTARG = text, RIGHTARG = text, FUNCTION = migrate_lock.eq);`,
  'a type': () => `
    ${lie('check_(text) RETURNS boolean', 'true')} ${version()}
    CREATE DOMAIN migrate_lock.jsonb AS text CHECK (migrate_lock.check_(VALUE));`,
  'a table with triggers': () => TRIGGERS() + VERSION_TABLE + version(),
  'a view named migration_lock': () => `
    ${lie('read_run_key() RETURNS int', '1')} ${VERSION_TABLE} ${version()}
    CREATE VIEW migrate_lock.migration_lock AS SELECT migrate_lock.read_run_key() AS id; GRANT SELECT ON migrate_lock.migration_lock TO PUBLIC;`,
  'tables that a COPY reads, as views and with generated columns': () => `
    ${lie('read_run_key(text) RETURNS text', '$1')} ${VERSION_TABLE} ${version()}
    CREATE VIEW migrate_lock.migration_lock_audit AS SELECT migrate_lock.read_run_key('') AS id;
    CREATE TABLE migrate_lock.migration_lock (instance_id text, fencing_token text GENERATED ALWAYS AS (migrate_lock.read_run_key(instance_id)) STORED);
    INSERT INTO migrate_lock.migration_lock VALUES ('x');
    ALTER TABLE migrate_lock.migration_lock ENABLE ROW LEVEL SECURITY;
    CREATE POLICY trap ON migrate_lock.migration_lock USING (migrate_lock.read_run_key(instance_id) <> '');`,
  'an index with a function': () => `
    ${lie('of(text) RETURNS boolean', 'true')} ${VERSION_TABLE} ${version()}
    CREATE TABLE migrate_lock.migration_lock (id int, instance_id text);
    CREATE INDEX ON migrate_lock.migration_lock (id) WHERE migrate_lock.of(instance_id);`,
};

const COMMANDS: string[][] = [
  ['init'],
  ['init', '--grant-to', 'PLAIN'],
  ['run', '--wait-timeout', '2s', '--', 'true'],
  ['status'],
  ['history'],
  ['history', '--verify'],
  ['unlock'],
  ['unlock', '--force', '--instance', 'x'],
  ['cleanup', '--keep', '1d'],
  ['assert'],
];
/** These report an empty lock where there is none. */
const READS = /^(status|history|unlock)$/;

async function tryAll(url: string, more: string[] = []) {
  return Promise.all(
    COMMANDS.map(async (command) => {
      const args = command.map((word) => (word === 'PLAIN' ? plain.name : word));
      const at = args.indexOf('--');
      const all = at < 0 ? [...args, ...more] : [...args.slice(0, at), ...more, ...args.slice(at)];
      const env = { DATABASE_URL: url, MIGRATE_LOCK_INSTANCE_ID: 'x', MIGRATE_LOCK_FENCING_TOKEN: '1' };
      const { code, stderr } = await runCli(all, { env, auditOnly: false });
      return { command: command.join(' '), code, stderr };
    }),
  );
}

describe.each(['evil, who may create schemas in the database', 'evil, who owns the database'])(
  'the schema belongs to %s',
  (who) => {
    test.each(Object.keys(TRAPS))(
      'with %s',
      async (trap) => {
        if (who.includes('owns')) await db.sql.unsafe(`ALTER DATABASE ${db.name} OWNER TO ${evil.name}`);
        try {
          await as(evil.url).unsafe(
            `CREATE SCHEMA migrate_lock; GRANT USAGE ON SCHEMA migrate_lock TO PUBLIC; ${TRAPS[trap]?.() ?? ''}`,
          );
          // In an empty schema a superuser creates the lock, for its owner: see schema-owner.test.ts.
          for (const url of trap === 'nothing' ? [plain.url] : [db.url, plain.url]) {
            const isSuperuser = url === db.url;
            for (const { command, code, stderr } of await tryAll(url)) {
              const [first = ''] = command.split(' ');
              const isFree = code === 0 && READS.test(first);
              expect({ command, code: isFree ? 77 : code, stderr }).toMatchObject({ command, code: 77 });
              // A missing object is not called, and belongs to no role.
              if (!isFree && !/there is no lock in this schema|does not exist/.test(stderr))
                expect({ command, stderr }).toEqual({ command, stderr: expect.stringContaining(evil.name) });
              if (isSuperuser)
                expect({ command, stderr }).toEqual({
                  command,
                  stderr: expect.stringContaining('migrate_lock'),
                });
            }
            expect(await stolen()).toEqual(UNTOUCHED);
          }
        } finally {
          await db.sql.unsafe(`ALTER DATABASE ${db.name} OWNER TO postgres`);
        }
      },
      60_000,
    );
  },
);

describe("in the lock's own schema", () => {
  test.each([
    ['a function', () => lie('poll(anyelement) RETURNS jsonb', `'{}'::jsonb`)],
    ['a better match for a call', () => lie('status(VARIADIC text[]) RETURNS jsonb', `'{}'::jsonb`)],
    ['a table', () => 'CREATE TABLE migrate_lock.mine (id int);'],
    ['a sequence', () => 'CREATE SEQUENCE migrate_lock.mine;'],
    ['a view', () => 'CREATE VIEW migrate_lock.mine AS SELECT 1 AS id;'],
    ['a type', () => "CREATE TYPE migrate_lock.mine AS ENUM ('a');"],
    ['a domain', () => 'CREATE DOMAIN migrate_lock.mine AS text;'],
    [
      'an operator',
      () => 'CREATE OPERATOR migrate_lock.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);',
    ],
    ['a collation', () => 'CREATE COLLATION migrate_lock.mine FROM "C";'],
    [
      'a text search configuration',
      () => 'CREATE TEXT SEARCH CONFIGURATION migrate_lock.mine (COPY = pg_catalog.simple);',
    ],
  ])(
    'evil has %s: 77 for every role, and the error names the object and its owner',
    async (_, make) => {
      expect((await runCli(['init', '--grant-to', plain.name], { env: { DATABASE_URL: db.url } })).code).toBe(
        0,
      );
      await db.sql.unsafe(`GRANT USAGE, CREATE ON SCHEMA migrate_lock TO ${evil.name}`);
      await as(evil.url).unsafe(make());
      await db.sql.unsafe(`REVOKE CREATE ON SCHEMA migrate_lock FROM ${evil.name}`);
      for (const url of [db.url, plain.url]) {
        for (const { command, code, stderr } of await tryAll(url)) {
          expect({ command, code, stderr }).toMatchObject({ command, code: 77 });
          expect(stderr).toMatch(new RegExp(`${evil.name}|does not belong there`));
        }
      }
      expect(await stolen()).toEqual(UNTOUCHED);
    },
    60_000,
  );

  test.each(['PUBLIC', 'evil'])('%s may create: 77, and the error names the role', async (who) => {
    expect((await runCli(['init', '--grant-to', plain.name], { env: { DATABASE_URL: db.url } })).code).toBe(
      0,
    );
    await db.sql.unsafe(`GRANT USAGE, CREATE ON SCHEMA migrate_lock TO ${who === 'evil' ? evil.name : who}`);
    for (const url of [db.url, plain.url])
      for (const { command, code, stderr } of await tryAll(url)) {
        expect({ command, code, stderr }).toMatchObject({ command, code: 77 });
        expect(stderr).toContain(who === 'evil' ? evil.name : 'every role');
      }
  });

  test('--schema public, where every role may create, as on PostgreSQL 14 and older', async () => {
    await db.sql.unsafe('GRANT CREATE ON SCHEMA public TO PUBLIC');
    try {
      await as(evil.url).unsafe(everything().replaceAll('migrate_lock.', 'public.'));
      for (const url of [db.url, plain.url])
        for (const { command, code, stderr } of await tryAll(url, ['--schema', 'public'])) {
          expect({ command, code, stderr }).toMatchObject({ command, code: 77 });
          expect(stderr).toContain(evil.name);
        }
      expect(await stolen()).toEqual(UNTOUCHED);
    } finally {
      await db.sql.unsafe(`DROP OWNED BY ${evil.name} CASCADE; REVOKE CREATE ON SCHEMA public FROM PUBLIC`);
    }
  }, 60_000);
});

describe('a search_path that another role has set', () => {
  const shadows = () => `
    CREATE SCHEMA shadows; GRANT USAGE ON SCHEMA shadows TO PUBLIC;
    ${['text', 'name', 'oid', 'int', '"char"', 'bool', 'timestamptz', 'jsonb']
      .map(
        (type) => `
      CREATE FUNCTION shadows.eq(${type}, ${type}) RETURNS boolean LANGUAGE plpgsql AS $$ ${steal()} RETURN true; END $$;
      ${['=', '<>'].map((name) => `CREATE OPERATOR shadows.${name} (LEFTARG = ${type}, RIGHTARG = ${type}, FUNCTION = shadows.eq);`).join(' ')}`,
      )
      .join('\n')}
    ${[
      'now()',
      'clock_timestamp()',
      'session_user()',
      'pg_backend_pid()',
      'jsonb_build_object(VARIADIC "any")',
    ]
      .filter((name) => !name.includes('any'))
      .map(
        (name) =>
          `CREATE FUNCTION shadows.${name} RETURNS int LANGUAGE plpgsql AS $$ ${steal()} RETURN 1; END $$;`,
      )
      .join('\n')}`;

  test.each<[string, () => string]>([
    ['ALTER DATABASE', () => `ALTER DATABASE ${db.name} SET search_path = shadows, pg_catalog`],
    [
      'ALTER ROLE',
      () => `ALTER ROLE ${plain.name} SET search_path = shadows, pg_catalog;
             ALTER ROLE postgres IN DATABASE ${db.name} SET search_path = shadows, pg_catalog`,
    ],
  ])('%s', async (_, set) => {
    await as(evil.url).unsafe(shadows());
    await db.sql.unsafe(set());
    const [probe] = [as(plain.url)];
    await probe`SELECT 'a'::text = 'b'::text`;
    // The trap works, also for the driver's own queries.
    const before = await stolen();
    expect(before?.times).toBeGreaterThan(0);
    // Where a pooler drops the program's search_path, this is the first statement.
    await probe.unsafe(renderSql(CALLS.owners, 'migrate_lock'));
    expect(await stolen()).toEqual(before);
    const init = await runCli(['init', '--grant-to', plain.name], { env: { DATABASE_URL: db.url } });
    expect(init.code).toBe(0);
    await probe.unsafe(renderSql(CALLS.owners, 'migrate_lock'));
    for (const { command, code, stderr } of await tryAll(db.url))
      expect({ command, code, stderr }).not.toMatchObject({ code: 77 });
    for (const { command, code, stderr } of await tryAll(plain.url))
      expect({ command, code, stderr }).not.toMatchObject({ code: 1 });
    expect(await stolen()).toEqual(before);
    expect(before?.isSuperuser).toBe(false);
  });
});
