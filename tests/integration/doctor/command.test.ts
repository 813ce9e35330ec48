import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { nanoid } from 'nanoid';
import type { Check } from '../../../src/doctor/check-results.js';
import { LINES, nameByHand } from '../../../src/doctor/session-names.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { readDocument } from '../../support/documents.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

/** A command that waits for this file goes on. */
const GO = join(tmpdir(), `doctor-${nanoid()}`);

let db: TestDatabase;
let other: TestDatabase;

beforeAll(async () => {
  [db, other] = await Promise.all([createDatabase(), createDatabase()]);
});
afterEach(() => assertNothingLeft());
afterEach(() => rmSync(GO, { force: true }));
afterAll(() => Promise.all([db.drop(), other.drop()]));

/** A command that keeps one session until its statement is cancelled, under the name that `name` says. */
function session(url: string, name = 'process.env.PGAPPNAME'): string[] {
  const library = new URL('../../../node_modules/postgres/src/index.js', import.meta.url).href;
  const script = `
    import postgres from ${JSON.stringify(library)};
    const sql = postgres(${JSON.stringify(url)}, { max: 1, connection: { application_name: ${name} } });
    await sql\`SELECT pg_sleep(600)\`.catch(() => {});
    await sql.end();
    process.exitCode = 3;`;
  return [process.execPath, '--input-type=module', '--eval', script];
}

/** The connections of migrate-lock, and whether their last statement is `doctor`'s look at the sessions. */
const connections = () =>
  db.sql<{ pid: number; state: string; startedAt: string; looks: boolean }[]>`
    SELECT pid, state, query_start::text AS "startedAt", query LIKE '%is_named AND is_here%' AS looks
      FROM pg_stat_activity WHERE datname = ${db.name} AND application_name = 'migrate-lock'`;

/** Ends the session of the command once `doctor` has looked at it three times, or has closed the connection that looks. */
async function endSessionOnceSeen(): Promise<void> {
  const looks = new Set<string>();
  let watch: number | undefined;
  const pid = await waitFor('the looks at the session of the command', async () => {
    const [kept] = await db.sql<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity WHERE datname IN (${db.name}, ${other.name}) AND query = 'SELECT pg_sleep(600)'`;
    const open = await connections();
    watch ??= open.find((one) => one.looks)?.pid;
    if (kept === undefined || watch === undefined) return undefined;
    for (const one of open) if (one.looks && one.state === 'idle') looks.add(one.startedAt);
    return looks.size > 2 || open.every((one) => one.pid !== watch) ? kept.pid : undefined;
  });
  await db.sql`SELECT pg_cancel_backend(${pid})`;
}

async function endSessions(role: string): Promise<void> {
  const left = () => db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ${role}`;
  await waitFor('the end of the sessions', async () => (await left()).length === 0);
}

async function doctorRuns(command: string[], env: Record<string, string> = {}) {
  const running = startCli(['doctor', '--json', '--ttl', '1m', '--', ...command], {
    env: { DATABASE_URL: db.url, ...env },
    auditOnly: false,
  });
  if (command[0] === process.execPath) await endSessionOnceSeen(); // a session()
  const { code, stdout, stderr } = await running.done;
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
  const running = startCli(['doctor', '--ttl', '10m', '--', ...session(db.url)], {
    env: { DATABASE_URL: db.url },
    auditOnly: false,
  });
  const { pid: watch } = await waitFor('the look', async () =>
    (await connections()).find((one) => one.looks),
  );
  await waitFor('its end', async () => (await connections()).every(({ pid }) => pid !== watch));
  expect(running.stdout()).not.toContain('command-sessions');
  running.kill('SIGTERM');
  expect((await running.done).stdout).toContain('ok    command-sessions: seen');
});

test('inside a run, the name is that of its lease', async () => {
  const inner = [NODE, CLI, 'doctor', '--json', '--', ...session(db.url)];
  const running = startCli(['run', '--child-stdout', 'stdout', '--', ...inner], {
    env: { DATABASE_URL: db.url },
    auditOnly: false,
  });
  await endSessionOnceSeen();
  const { code, stdout } = await running.done;
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

test('sessions of another role that ended before the lock said whether they count', async () => {
  const [mine, theirs] = [await db.createRole(), await db.createRole()];
  const granted = await runCli(['init', '--grant-to', mine.name], { env: { DATABASE_URL: db.url } });
  expect(granted.code).toBe(0);
  const late = ['sh', '-c', 'until [ -e "$0" ]; do sleep 0.02; done; exec "$@"', GO, ...session(theirs.url)];
  const running = startCli(['doctor', '--ttl', '1m', '--', ...late], {
    env: { DATABASE_URL: mine.url },
    auditOnly: false,
  });
  const lease = () => db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NULL`;
  await waitFor('the lease', async () => (await lease()).length > 0);
  await db.sql.begin(async (blocking) => {
    await blocking`LOCK TABLE migrate_lock.migration_lock`;
    writeFileSync(GO, '');
    await waitFor('the question to the lock', async () => {
      const waiting = await db.sql`
        SELECT FROM pg_stat_activity
         WHERE datname = ${db.name} AND query LIKE '%reported%' AND wait_event_type = 'Lock'`;
      return waiting.length > 0;
    });
    await endSessions(theirs.name);
  });
  const { stdout } = await running.done;
  expect(stdout).toContain(`of the role ${theirs.name}, and ended before the lock said whether they count`);
  expect(stdout).toContain(`migrate-lock init --child-role ${theirs.name}`);
});

test('with few connections left, the check takes none of them', async () => {
  const role = await db.createRole('CONNECTION LIMIT 1');
  expect((await runCli(['init', '--grant-to', role.name], { env: { DATABASE_URL: db.url } })).code).toBe(0);
  const { code, last } = await doctorRuns(['sh', '-c', 'exit 3'], { DATABASE_URL: role.url });
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
