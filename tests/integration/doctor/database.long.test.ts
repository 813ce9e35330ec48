import { describe, expect, test } from '@jest/globals';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { checkVersion } from '../../../src/doctor/database-checks.js';
import { PlainSession } from '../../../src/doctor/server-facts.js';
import { checkTls } from '../../../src/doctor/session-checks.js';
import type { TestDatabase } from '../../support/database.js';
import { openLock } from '../../support/lock.js';
import { hasPooler, startPooler } from '../../support/pooler.js';
import { startRelay } from '../../support/relay.js';
import { runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { doctor } from './doctor.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

async function createLock(url = db.url): Promise<void> {
  (await openLock(url)).database.disconnect();
}

const statuses = (checks: readonly { name: string; status: string }[]) =>
  checks.filter(({ status }) => status !== 'ok').map(({ name, status }) => `${status} ${name}`);

describe('a database where everything is right', () => {
  test('every check is ok, before the lock schema is there and after', async () => {
    const before = await doctor(db.url);
    expect(statuses(before.checks)).toEqual([]);
    expect(before.of('lock-schema').detail).toContain('the first run applies it');
    await createLock();
    const { checks, of, code } = await doctor(db.url);
    expect({ code, found: statuses(checks) }).toEqual({ code: 0, found: [] });
    expect(of('lock-schema').detail).toBe('"migrate_lock", version 1');
    for (const check of checks) expect(Object.keys(check)).toEqual(['name', 'status', 'detail', 'hint']);
  });

  test('people read one line a check, coloured where colour is wanted', async () => {
    const { checks } = await doctor(db.url);
    const read = (more: Record<string, string> = {}) =>
      runCli(['doctor'], { env: { DATABASE_URL: db.url, ...more }, auditOnly: false });
    const { code, stdout } = await read();
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => /^ok {4}([\w-]+): \S/.exec(line)?.[1])).toEqual(
      checks.map(({ name }) => name),
    );
    expect((await read({ FORCE_COLOR: '1' })).stdout).toContain('\u001b[32mok\u001b[39m');
  });
});

describe('connection', () => {
  test('nothing listens: one failed check, and no password in it', async () => {
    const url = 'postgres://u:hunter2@127.0.0.1:1/db';
    const { code, of } = await doctor(url);
    expect(code).toBe(1);
    expect(of('connection')).toMatchObject({
      status: 'fail',
      hint: expect.stringContaining('host and port'),
    });
    const { stdout } = await runCli(['doctor'], { env: { DATABASE_URL: url }, auditOnly: false });
    expect(stdout).toMatch(/^fail {2}connection: .*\. Check that it is running/m);
    expect(stdout).not.toContain('hunter2');
  });

  test('a wrong password, TLS that is missing, are failed checks; a URL that is none is a usage error', async () => {
    const wrong = db.urlWith((url) => (url.password = 'hunter2'));
    expect((await doctor(wrong)).of('connection')).toMatchObject({ status: 'fail' });
    const tls = db.urlWith((url) => url.searchParams.set('sslmode', 'require'));
    expect((await doctor(tls)).of('connection').hint).toContain('sslmode');
    const none = await runCli(['doctor'], { env: { DATABASE_URL: 'postgres://u:hunter2@/?hots=x' } });
    expect(none).toMatchObject({ code: 64, stdout: '' });
    expect(none.stderr).not.toContain('hunter2');
  });

  test('a server that does not answer is given up after a while, and a slow one is a warning', async () => {
    const { hostname, port } = new URL(db.url);
    const relay = await startRelay({ host: hostname, port: Number(port) });
    try {
      relay.set('silent');
      const url = db.urlWith((changed) => (changed.port = String(relay.port)));
      expect((await doctor(url)).of('connection').status).toBe('fail');
      relay.set({ delayMs: 150 });
      expect((await doctor(url)).of('round-trip').status).toBe('warn');
      relay.set('pass');
      expect((await doctor(url)).of('pooler')).toMatchObject({
        status: 'ok',
        detail: expect.stringContaining('relay'),
      });
    } finally {
      await relay.close();
    }
  });

  test('a session that the server ended: what it said', async () => {
    const session = await PlainSession.open(readConnectionConfig({ url: db.url, env: {} }));
    const { backendPid } = (await session.facts()).session;
    await db.sql`SELECT pg_terminate_backend(${backendPid})`;
    await waitFor('its end', () => !session.connection.isOpen());
    await expect(session.facts()).rejects.toMatchObject({ code: '57P01' });
  });

  test('tls: what is not encrypted, or not verified, is a warning, unless the server is here', () => {
    const at = (host: string, ssl: 'require' | 'prefer' | 'verify-full') => ({
      ssl,
      hosts: [{ host, port: 5432 }],
    });
    expect(checkTls(null, at('db.example', 'prefer'))).toMatchObject({ status: 'warn' });
    expect(checkTls('TLSv1.3', at('db.example', 'require'))).toMatchObject({ status: 'warn' });
    expect(checkTls('TLSv1.3', at('db.example', 'verify-full'))).toMatchObject({ status: 'ok' });
    expect(checkTls(null, at('/run/postgresql', 'prefer'))).toMatchObject({ status: 'ok' });
    expect(checkTls('TLSv1.3', at('localhost', 'prefer'))).toMatchObject({ status: 'ok' });
  });

  test('server-version: one before PostgreSQL 12 fails', () => {
    expect(checkVersion({ version: '11.22', versionNumber: 110_022 })).toMatchObject({ status: 'fail' });
    expect(checkVersion({ version: '12.0', versionNumber: 120_000 })).toMatchObject({ status: 'ok' });
  });
});

describe('rights', () => {
  test('a role that may not create the schema, and has not been admitted', async () => {
    const role = await db.createRole();
    const before = await doctor(role.url);
    expect(before.of('lock-schema')).toMatchObject({
      status: 'fail',
      hint: expect.stringContaining(`migrate-lock init --grant-to ${role.name}`),
    });
    await createLock();
    const { of } = await doctor(role.url);
    expect(of('lock-schema')).toMatchObject({ status: 'fail', hint: expect.stringContaining('--grant-to') });
    for (const { checks } of [before, await doctor(role.url)])
      expect(checks.map(({ name }) => name)).not.toContainEqual(expect.stringMatching(/^right-to|unclean/));
  });

  test('a role that may not call all that a run calls', async () => {
    const role = await db.createRole();
    await runCli(['init', '--grant-to', role.name], { env: { DATABASE_URL: db.url } });
    expect((await doctor(role.url)).of('right-to-use').status).toBe('ok');
    await db.sql.unsafe(`DO $$ BEGIN
      EXECUTE (SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM ${role.name}', oid::regprocedure)
                 FROM pg_proc WHERE proname = 'poll' AND pronamespace = 'migrate_lock'::regnamespace); END $$`);
    expect((await doctor(role.url)).of('right-to-use')).toMatchObject({
      status: 'fail',
      detail: `the role ${role.name} may not use the lock (poll)`,
      hint: expect.stringContaining(`--grant-to ${role.name}`),
    });
  });

  test('a lock schema that lacks a function', async () => {
    await createLock();
    await db.sql`ALTER FUNCTION migrate_lock.poll RENAME TO gone`;
    expect((await doctor(db.url)).of('lock-schema')).toMatchObject({
      status: 'fail',
      detail: '"migrate_lock" is incomplete: it has no function poll',
      hint: expect.stringContaining('migrate-lock init'),
    });
  });

  test('an empty schema of another role: it is not called missing, and its owner is to get no right', async () => {
    const [stranger, role] = [await db.createRole(), await db.createRole()];
    await db.sql.unsafe(`CREATE SCHEMA migrate_lock AUTHORIZATION ${stranger.name}`);
    const { checks, of } = await doctor(role.url);
    expect(of('lock-schema')).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining(`The schema "migrate_lock" belongs to ${stranger.name}`),
    });
    expect(JSON.stringify(checks)).not.toContain('pg_signal_backend');
  });

  test('an owner who may neither end nor see the sessions of an admitted role', async () => {
    const [owner, role] = [await db.createRole(), await db.createRole()];
    await db.sql.unsafe(
      `GRANT CREATE ON DATABASE ${db.name} TO ${owner.name}; GRANT CREATE ON SCHEMA public TO ${role.name}`,
    );
    const admit = await runCli(['init', '--grant-to', role.name], { env: { DATABASE_URL: owner.url } });
    expect(admit.code).toBe(0);
    const before = await doctor(role.url);
    expect(statuses(before.checks)).toEqual(['warn right-to-end-sessions', 'warn right-to-see-sessions']);
    expect(before.of('right-to-end-sessions').hint).toContain(`GRANT pg_signal_backend TO "${owner.name}";`);
    await db.sql.unsafe(`GRANT pg_signal_backend, pg_read_all_stats TO ${owner.name}`);
    expect(statuses((await doctor(role.url)).checks)).toEqual([]);
    await db.sql.unsafe(
      `REVOKE CREATE ON DATABASE ${db.name} FROM ${owner.name}; REVOKE CREATE ON SCHEMA public FROM ${role.name}`,
    );
  });

  test('a lock schema in which another role may create objects is not trusted', async () => {
    await createLock();
    await db.sql`GRANT CREATE ON SCHEMA migrate_lock TO PUBLIC`;
    expect((await doctor(db.url)).of('lock-schema')).toMatchObject({ status: 'fail' });
  });

  test('few free connections', async () => {
    await createLock();
    const role = await db.createRole('CONNECTION LIMIT 4');
    expect((await doctor(role.url)).of('free-connections')).toMatchObject({ status: 'warn' });
  });

  test('one connection is enough for a run: what needs a second one is a warning', async () => {
    const role = await db.createRole('CONNECTION LIMIT 1');
    await runCli(['init', '--grant-to', role.name], { env: { DATABASE_URL: db.url } });
    const { code, of } = await doctor(role.url);
    expect(of('session')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining('a second connection is refused'),
    });
    expect(code).toBe(0);
  });
});

test('what is known is shown before a check that waits', async () => {
  await createLock();
  const blocker = await db.sql.reserve();
  await blocker`BEGIN`;
  await blocker`LOCK TABLE migrate_lock.migration_lock IN ACCESS EXCLUSIVE MODE`;
  const running = startCli(['doctor'], { env: { DATABASE_URL: db.url }, auditOnly: false });
  try {
    await waitFor('the checks of the machine', () => running.stdout().includes('open-files:'));
    expect(running.stdout()).not.toContain('unclean-ends');
  } finally {
    await blocker`ROLLBACK`;
    blocker.release();
  }
  expect((await running.done).stdout).toContain('ok    unclean-ends: none');
});

describe('settings of the role and the database', () => {
  test.each([
    ['statement_timeout', `statement_timeout = '20s'`, '20s (of the role)'],
    ['transaction_timeout', `transaction_timeout = '20s'`, '20s (of the role)'],
    ['lock_timeout', `lock_timeout = '50ms'`, '50ms (of the role)'],
    ['idle_in_transaction_session_timeout', `idle_in_transaction_session_timeout = '2s'`, '2s (of the role)'],
    ['read-only', 'default_transaction_read_only = on', 'read only'],
    ['role', 'role = pg_monitor', 'acts as pg_monitor'],
    ['search_path', 'search_path = nowhere', 'nowhere'],
    ['search_path', 'search_path = information_schema', 'may not create any there'],
  ])('%s', async (name, setting, detail) => {
    const [server] = await db.sql`SELECT current_setting('transaction_timeout', true) IS NULL AS is_old`;
    if (name === 'transaction_timeout' && server?.is_old === true) return; // PostgreSQL 17
    const role = await db.createRole('IN ROLE pg_monitor');
    await db.sql.unsafe(
      `GRANT CREATE ON DATABASE ${db.name} TO ${role.name}; GRANT CREATE ON SCHEMA public TO ${role.name}`,
    );
    expect((await doctor(role.url)).of(name).status).toBe('ok');
    await db.sql.unsafe(`ALTER ROLE ${role.name} SET ${setting}`);
    const { of, code } = await doctor(role.url);
    const { status, detail: said, hint } = of(name);
    expect({ status, said }).toEqual({ status: 'warn', said: expect.stringContaining(detail) });
    expect(hint).toMatch(/\S/);
    // As the other role it may not create the lock schema.
    expect(code).toBe(name === 'role' ? 1 : 0);
    const [statement] = /ALTER ROLE .*;$/.exec(hint ?? '') ?? [];
    if (statement !== undefined) {
      await db.sql.unsafe(statement);
      expect((await doctor(role.url)).of(name).status).toBe('ok');
    }
    await db.sql.unsafe(
      `REVOKE CREATE ON DATABASE ${db.name} FROM ${role.name}; REVOKE CREATE ON SCHEMA public FROM ${role.name}`,
    );
  });

  test("a timeout that ends every session of the role: a run works, and the command's sessions fail", async () => {
    const role = await db.createRole();
    await runCli(['init', '--grant-to', role.name], { env: { DATABASE_URL: db.url } });
    await db.sql.unsafe(`ALTER ROLE ${role.name} SET statement_timeout = '1ms'`);
    const { code, of } = await doctor(role.url);
    expect(code).toBe(0);
    expect(of('connection').status).toBe('ok');
    expect(of('session')).toMatchObject({ status: 'warn', hint: expect.stringContaining('ALTER ROLE') });
  });

  test('a search_path that leads to the lock schema', async () => {
    await createLock();
    const { of } = await doctor(db.url, [], { env: { PGOPTIONS: '-c search_path=migrate_lock' } });
    expect(of('search_path')).toMatchObject({ status: 'warn' });
  });
});

test("an operator of the search_path in front of PostgreSQL's own is not called", async () => {
  const role = await db.createRole();
  await db.sql.unsafe(`
    CREATE SCHEMA hostile;
    CREATE SEQUENCE hostile.calls;
    CREATE FUNCTION hostile.times(numeric, integer) RETURNS numeric LANGUAGE sql AS 'SELECT nextval(''hostile.calls'')::numeric';
    CREATE OPERATOR hostile.* (leftarg = numeric, rightarg = integer, function = hostile.times);
    GRANT USAGE ON SCHEMA hostile TO PUBLIC;
    GRANT USAGE ON SEQUENCE hostile.calls TO PUBLIC;
    ALTER ROLE ${role.name} SET search_path = hostile, pg_catalog`);
  await doctor(role.url);
  expect(await db.sql`SELECT is_called FROM hostile.calls`).toEqual([{ is_called: false }]);
  await db.sql`DROP SCHEMA hostile CASCADE`;
});

describe('behind PgBouncer (skipped where it is not installed)', () => {
  (hasPooler ? test : test.skip).each([
    ['transaction', true],
    ['session', false],
  ])('pool_mode = %s: the pooler is found, and that notifications do not pass it', async (mode, isShared) => {
    await createLock();
    const pooler = await startPooler(db.url, { settings: { pool_mode: mode } });
    try {
      const { checks, of } = await doctor(pooler.through(db.url));
      expect(statuses(checks)).toEqual(['warn pooler', 'warn listen']);
      expect(of('pooler').detail).toContain('PgBouncer');
      expect(of('pooler').detail.includes('pools transactions')).toBe(isShared);
    } finally {
      await pooler.stop();
    }
  });
});

describe('clock', () => {
  test('a machine whose clock differs', async () => {
    const { CLI } = await import('../../support/run-cli.js');
    const skew = new URL('../../support/fixtures/faults/clock-skew.cjs', import.meta.url).pathname;
    const { of } = await doctor(db.url, [], {
      program: ['--require', skew, CLI],
      env: { FAULTS_SKEW_MS: '60000' },
    });
    expect(of('clock')).toMatchObject({
      status: 'warn',
      detail: expect.stringMatching(/(59|60|1m).* behind/),
    });
  });
});
