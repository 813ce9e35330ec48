import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Check } from '../../../src/doctor/check-results.js';
import { LINES, nameByHand } from '../../../src/doctor/session-names.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { readDocument } from '../../support/documents.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let other: TestDatabase;

beforeAll(async () => {
  [db, other] = await Promise.all([createDatabase(), createDatabase()]);
});
afterEach(() => assertNothingLeft());
afterAll(() => Promise.all([db.drop(), other.drop()]));

/** A command that keeps one session for a while, under the name that `name` says. */
function session(url: string, name = 'process.env.PGAPPNAME'): string[] {
  const library = new URL('../../../node_modules/postgres/src/index.js', import.meta.url).href;
  const script = `
    import postgres from ${JSON.stringify(library)};
    const sql = postgres(${JSON.stringify(url)}, { max: 1, connection: { application_name: ${name} } });
    await sql\`SELECT pg_sleep(0.5)\`;
    await sql.end();
    process.exitCode = 3;`;
  return [process.execPath, '--input-type=module', '--eval', script];
}

async function doctorRuns(command: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await runCli(['doctor', '--json', '--ttl', '1m', '--', ...command], {
    env: { DATABASE_URL: db.url, ...env },
    auditOnly: false,
  });
  const checks = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Check);
  return { code, stderr, last: checks.at(-1) };
}

test('a command whose sessions bear the name: seen, and its exit code is the result', async () => {
  const { code, stderr, last } = await doctorRuns(session(db.url));
  expect(last).toMatchObject({ name: 'command-sessions', status: 'ok' });
  expect(code).toBe(3);
  expect(stderr).toContain('now the command is run under the lock');
  const [released] =
    await db.sql`SELECT released_at IS NOT NULL AS released FROM migrate_lock.migration_lock`;
  expect(released).toEqual({ released: true });
});

test('once its sessions were seen, the check ends, and its connection', async () => {
  const looks = () =>
    db.sql`SELECT FROM pg_stat_activity WHERE datname = ${db.name} AND query LIKE '%is_named AND is_here%' AND pid <> pg_backend_pid()`;
  const slow = session(db.url).map((word) => word.replace('pg_sleep(0.5)', 'pg_sleep(600)'));
  const running = startCli(['doctor', '--ttl', '10m', '--', ...slow], {
    env: { DATABASE_URL: db.url },
    auditOnly: false,
  });
  await waitFor('the look', async () => (await looks()).length > 0);
  await waitFor('its end', async () => (await looks()).length === 0);
  expect(running.stdout()).not.toContain('command-sessions');
  running.kill('SIGTERM');
  expect((await running.done).stdout).toContain('ok    command-sessions: seen');
});

test('inside a run, the name is that of its lease', async () => {
  const inner = [NODE, CLI, 'doctor', '--json', '--', ...session(db.url)];
  const { code, stdout } = await runCli(['run', '--child-stdout', 'stdout', '--', ...inner], {
    env: { DATABASE_URL: db.url },
    auditOnly: false,
  });
  expect(stdout).toContain('{"name":"command-sessions","status":"ok"');
  expect(code).toBe(3);
});

test('a command that gives its sessions another name', async () => {
  const { code, last } = await doctorRuns(session(db.url, "'shop'"));
  expect(last).toMatchObject({
    name: 'command-sessions',
    status: 'warn',
    hint: expect.stringContaining('PGAPPNAME'),
  });
  expect(code).toBe(3);
});

test('a name of its own for every session: the advice is to unset it', async () => {
  const { stderr, last } = await doctorRuns(session(db.url), { PGAPPNAME: 'shop' });
  expect(stderr).toContain('PGAPPNAME is set');
  expect(last).toMatchObject({ status: 'warn', hint: expect.stringContaining('Unset PGAPPNAME') });
});

test("sessions of a role that does not count as the lease's, under its name", async () => {
  const [mine, theirs] = [await db.createRole(), await db.createRole()];
  const init = (...options: string[]) =>
    runCli(['init', '--grant-to', mine.name, ...options], { env: { DATABASE_URL: db.url } });
  expect((await init()).code).toBe(0);
  const before = await doctorRuns(session(theirs.url), { DATABASE_URL: mine.url });
  expect(before.last).toMatchObject({
    name: 'command-sessions',
    status: 'warn',
    detail: expect.stringContaining(`are of the role ${theirs.name}, whose sessions do not count`),
    hint: expect.stringContaining(`--child-role ${theirs.name}`),
  });
  expect(before.code).toBe(3);
  expect((await init('--child-role', theirs.name)).code).toBe(0);
  const after = await doctorRuns(session(theirs.url), { DATABASE_URL: mine.url });
  expect(after.last).toMatchObject({ name: 'command-sessions', status: 'ok' });
});

test('with few connections left, the check takes none of them', async () => {
  const role = await db.createRole('CONNECTION LIMIT 1');
  expect((await runCli(['init', '--grant-to', role.name], { env: { DATABASE_URL: db.url } })).code).toBe(0);
  const { code, last } = await doctorRuns(session(role.url), { DATABASE_URL: role.url });
  expect(last).toMatchObject({
    name: 'command-sessions',
    status: 'warn',
    detail: expect.stringContaining('not checked'),
  });
  expect(code).toBe(3);
});

test('a command that migrates another database', async () => {
  const { last } = await doctorRuns(session(other.url));
  expect(last).toMatchObject({
    name: 'command-sessions',
    status: 'fail',
    detail: `the command connected to ${other.name}, and the lock is in ${db.name}`,
  });
});

test('a command that does not connect', async () => {
  const { code, last } = await doctorRuns(['sh', '-c', 'sleep 0.2; exit 4']);
  expect(last).toMatchObject({
    name: 'command-sessions',
    status: 'warn',
    detail: `none was seen in ${db.name}`,
  });
  expect(code).toBe(4);
});

test('a check that failed: the command is not run', async () => {
  const role = await other.createRole();
  const { code, stderr, last } = await doctorRuns(['sh', '-c', 'exit 5'], { DATABASE_URL: role.url });
  expect(code).toBe(1);
  expect(stderr).toContain('the command is not run');
  expect(last?.name).not.toBe('command-sessions');
});

test('the line for a tool is that of docs/tools.md', () => {
  const text = readDocument('docs/tools.md').replace(/\s+/g, ' ');
  for (const line of LINES) expect(text).toContain(line);
  expect(nameByHand(['sh', '-c', 'exec /opt/liquibase/liquibase update'], {})).toContain(
    'For Liquibase: sh -c',
  );
  expect(nameByHand(['npx', 'prisma', 'migrate', 'deploy'], {})).toContain('?application_name=');
  expect(nameByHand(['make', 'migrate'], {})).toContain('PGAPPNAME');
});
