import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli, startCli, type CliResult } from '../../support/run-cli.js';
import { signalProcess } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';

/** Tools that recover by themselves: real knex, and a stand-in for Liquibase with a real table. */

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const STAND_IN = join(ROOT, 'tests', 'support', 'fixtures', 'liquibase-stand-in.mjs');

let db: TestDatabase;
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'migrate-lock-recover-'));
  mkdirSync(join(project, 'migrations'));
  mkdirSync(join(project, 'bin'));
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(project, 'knexfile.js'),
    "export default { client: 'pg', connection: process.env.DATABASE_URL };",
  );
  writeFileSync(
    join(project, 'migrations', '20260101000000_wait.js'),
    `export const config = { transaction: false };
     export const up = (knex) => knex.raw('SELECT FROM gate FOR SHARE');
     export async function down() {}`,
  );
  writeFileSync(join(project, 'bin', 'liquibase'), '#!/bin/sh\nexec "$NODE" "$STAND_IN" "$@"\n', {
    mode: 0o755,
  });
});
beforeEach(async () => {
  db = await createDatabase();
  await db.sql`CREATE TABLE gate AS SELECT 1 AS closed`;
});
afterEach(async () => {
  await db.drop();
  await assertNothingLeft();
});
afterAll(() => rmSync(project, { recursive: true }));

const options = () => ({
  cwd: project,
  env: {
    DATABASE_URL: db.url,
    NODE: process.execPath,
    STAND_IN,
    PATH: [join(project, 'bin'), join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
  },
});
const run = (command: string[], ...args: string[]) => runCli(['run', ...args, '--', ...command], options());
const KNEX = ['knex', 'migrate:latest'];
const LIQUIBASE = ['liquibase', 'update', '--changelog-file=changes.sql'];

/** Starts the command, ends its run while it waits at the gate, and leaves its tool's lock taken. */
async function cutOff(command: string[], end: 'kill' | 'unlock' = 'kill'): Promise<void> {
  const { running } = await db.sql.begin(async (gate) => {
    await gate`SELECT FROM gate FOR UPDATE`;
    const running = startCli(['run', '--', ...command], options());
    const { childPid } = await running.waitForEvent('child.started');
    await waitFor('the command at the gate', async () => {
      const waiting = await db.sql`
          SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()`;
      return waiting.length > 0;
    });
    if (end === 'unlock') {
      const instance = running.events()[0]?.instanceId ?? '';
      await runCli(['unlock', '--force', `--instance=${instance}`], { ...options(), auditOnly: false });
    }
    signalProcess(childPid, 'SIGKILL');
    await running.done;
    return { running };
  });
  await running.done;
}

const eventsOf = ({ events }: CliResult, name: string) => events.filter(({ event }) => event === name);

test.each([
  ['knex', KNEX, 'knex migrate:unlock'],
  ['Liquibase', LIQUIBASE, 'liquibase releaseLocks'],
])('%s: its own lock is released, and then the command succeeds', async (_, command, recovery) => {
  await cutOff(command);
  const next = await run(command);
  expect(next).toMatchObject({ code: 0 });
  expect(eventsOf(next, 'recover.started')).toMatchObject([{ command: recovery }]);
  expect(eventsOf(await run(command), 'recover.started')).toEqual([]);
});

test('a lock of Liquibase from another time is not released', async () => {
  await cutOff(LIQUIBASE);
  await db.sql`UPDATE databasechangeloglock SET lockgranted = now() - interval '1 day'`;
  const next = await run(LIQUIBASE);
  expect(next).toMatchObject({ code: 1 });
  expect(eventsOf(next, 'recover.started')).toEqual([]);
});

test('after `unlock` the lock of knex is not released: the command may still run', async () => {
  await cutOff(KNEX, 'unlock');
  const next = await run(KNEX);
  expect(eventsOf(next, 'recover.started')).toEqual([]);
  expect(eventsOf(next, 'recover.skipped')).toMatchObject([
    { tool: 'knex', recovery: 'knex migrate:unlock', reason: expect.stringContaining('unlock') },
  ]);
  expect(next.stderr).toContain('knex migrate:unlock');
  expect(next).toMatchObject({ code: 1 });
});

test('`--recover none` leaves the lock of knex as it is', async () => {
  await cutOff(KNEX);
  const next = await run(KNEX, '--recover', 'none');
  expect(next).toMatchObject({ code: 1 });
  expect(eventsOf(next, 'recover.started')).toEqual([]);
});

test('a recovery of a known tool that fails is a warning, and the command is started', async () => {
  await cutOff(LIQUIBASE);
  await db.sql`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`;
  await db.sql`
    CREATE TRIGGER refuse BEFORE UPDATE ON databasechangeloglock FOR EACH ROW EXECUTE FUNCTION refuse()`;
  const next = await run(LIQUIBASE);
  expect(eventsOf(next, 'recover.exited')).toMatchObject([{ exitCode: 1 }]);
  expect(eventsOf(next, 'recover.skipped')).toMatchObject([{ tool: 'liquibase' }]);
  expect(eventsOf(next, 'child.started')).toHaveLength(1);
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_unclean_end`).toHaveLength(1);
});

test('a command that is not recognized and fails: the lock of its tool is named', async () => {
  const hidden = ['sh', '-c', 'knex migrate:latest || exit $?'];
  await cutOff(hidden);
  const next = await run(hidden);
  expect(next).toMatchObject({ code: 1 });
  expect(eventsOf(next, 'tool.locked')).toMatchObject([
    { locks: [{ tool: 'knex', table: 'knex_migrations_lock', recover: 'npx knex migrate:unlock' }] },
  ]);
  expect(next.stderr).toContain(`--recover 'npx knex migrate:unlock'`);
  expect(await run(hidden, '--recover', 'knex migrate:unlock')).toMatchObject({ code: 0 });
});

test('an INVALID index is reported before the command is started, and is not changed', async () => {
  await cutOff(['sh', '-c', 'knex migrate:latest']);
  await db.sql`CREATE TABLE orders AS SELECT 1 AS id FROM generate_series(1, 2)`;
  await expect(db.sql`CREATE UNIQUE INDEX CONCURRENTLY orders_id ON orders (id)`).rejects.toMatchObject({
    code: '23505',
  });
  const next = await run(['sh', '-c', 'knex migrate:latest']);
  const names = next.events.map(({ event }) => event);
  expect(names.indexOf('database.leftovers')).toBeLessThan(names.indexOf('child.started'));
  expect(eventsOf(next, 'database.leftovers')).toMatchObject([
    { indexes: [{ table: 'orders', name: 'orders_id' }] },
  ]);
  expect(next.stderr).toContain('REINDEX INDEX CONCURRENTLY');
  expect(
    await db.sql`SELECT FROM pg_index WHERE indexrelid = 'orders_id'::regclass AND NOT indisvalid`,
  ).toHaveLength(1);
});
