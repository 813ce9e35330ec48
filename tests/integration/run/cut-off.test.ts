/** A try of which `--max-block` has cancelled a statement: never a success, and an unclean end. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { MigrateLockEvent } from '../../../src/events/events.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { findProgram } from '../../support/pooler.js';
import { assertNothingLeft, startCli, type RunningCli } from '../../support/run-cli.js';
import { startStatements, untilItWaits } from '../../support/statements.js';
import { openTransaction, sendStatement, type OpenTransaction } from '../../support/traffic.js';

const TWO = ['ALTER TABLE orders ADD COLUMN note text', 'CREATE TABLE after_it ()'];
const PSQL = findProgram('psql');

const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-cut-off-'));
let db: TestDatabase;
let reader: OpenTransaction;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(async () => {
  await db.sql`DROP TABLE IF EXISTS orders, after_it`;
  await db.sql`CREATE TABLE orders (id serial PRIMARY KEY)`;
  reader = await openTransaction(db.url, 'SELECT FROM orders');
});
afterEach(async () => {
  await reader.end();
  await assertNothingLeft();
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await db.drop();
});

/** As `psql -f` with these statements: it goes on after one that failed, and exits with 0. */
function start(
  options: string[],
  statements: (string | number)[] = TWO,
  env: Record<string, string> = {},
): RunningCli {
  return startStatements(statements, { url: db.url, options: ['--max-block', '500ms', ...options], env });
}
/** A writer that waits behind the migration; resolves when it has been let through. */
async function writeBehindIt(): Promise<void> {
  await untilItWaits(db);
  await sendStatement(db.url, 'INSERT INTO orders DEFAULT VALUES').waitedMs;
}
const named = (events: readonly MigrateLockEvent[], name: string) =>
  events.filter(({ event }) => event === name);

test('an exit code 0 after a cancellation is a failure: 74, not stored, an unclean end', async () => {
  const run = start(['--retries', '0', '--once', 'release-1']);
  await writeBehindIt();
  const { code, events, stderr } = await run.done;
  await reader.end();
  expect(events).toContainEqual(expect.objectContaining({ event: 'child.exited', exitCode: 0 }));
  expect(code).toBe(74);
  expect(events.at(-1)).toMatchObject({ event: 'run.finished', outcome: 'error', exitCode: 74 });
  expect(events).toContainEqual(expect.objectContaining({ event: 'error', code: 'COMMAND_CUT_OFF' }));
  expect(stderr).toContain(
    'the command ended with 0, but a statement of it was ended because it blocked others',
  );
  expect(named(events, 'lock.released')).toHaveLength(1);
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_run WHERE run_key = 'release-1'`).toHaveLength(
    0,
  );
  const [end] = await db.sql`SELECT kind FROM migrate_lock.migration_lock_unclean_end`;
  expect(end).toEqual({ kind: 'leftovers' });
  // The next run is told, and its success clears it.
  const next = await start(['--retries', '0', '--once', 'release-1']).done;
  expect(next.code).toBe(0);
  expect(named(next.events, 'lock.acquired')).toMatchObject([{ previousEnd: { kind: 'leftovers' } }]);
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_unclean_end`).toHaveLength(0);
});

test('it is retried like a failure, after the recovery, and the retry counts', async () => {
  const run = start(['--recover', 'exit 0', '--once', 'release-2']);
  await writeBehindIt();
  const retry = await run.waitForEvent('child.retry');
  expect(retry).toMatchObject({ retry: 1, retries: 3, exitCode: 0, isCutOff: true });
  await reader.end();
  const { code, events } = await run.done;
  expect(code).toBe(0);
  expect(
    events.map(({ event }) => event).filter((name) => /^(child|recover)\.(started|exited|retry)$/.test(name)),
  ).toEqual([
    ...['child.started', 'child.exited', 'child.retry', 'recover.started', 'recover.exited'],
    ...['child.started', 'child.exited'],
  ]);
  expect(
    await db.sql`SELECT FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'note'`,
  ).toHaveLength(1);
  const [stored] =
    await db.sql`SELECT succeeded FROM migrate_lock.migration_lock_run WHERE run_key = 'release-2'`;
  expect(stored).toEqual({ succeeded: true });
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_unclean_end`).toHaveLength(0);
});

test('a recovery that fails ends the retries, and the unclean end stays', async () => {
  const run = start(['--recover', 'exit 5']);
  await writeBehindIt();
  const { code, events } = await run.done;
  await reader.end();
  expect(code).toBe(5);
  expect(events.at(-1)).toMatchObject({ event: 'run.finished', outcome: 'unrecovered' });
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_unclean_end`).toHaveLength(1);
  expect((await start(['--recover', 'exit 0']).done).code).toBe(0);
});

test('the command that fails by itself keeps its exit code', async () => {
  const run = start(['--retries', '0'], TWO, { ON_ERROR_STOP: '1' });
  await writeBehindIt();
  const { code, events } = await run.done;
  await reader.end();
  expect(code).toBe(3);
  expect(named(events, 'error')).toEqual([]);
  expect(await db.sql`SELECT FROM migrate_lock.migration_lock_unclean_end`).toHaveLength(1);
});

test('a new INVALID index ends the retries, one that was there before does not', async () => {
  await db.sql`CREATE TABLE two (id int)`;
  await db.sql`INSERT INTO two VALUES (1), (1)`;
  await db.sql`CREATE UNIQUE INDEX CONCURRENTLY before_it ON two (id)`.catch(() => undefined);
  const invalid = () => db.sql`SELECT FROM pg_index WHERE NOT indisvalid`;
  expect(await invalid()).toHaveLength(1);
  // It fails by itself, after the cancellation.
  const index = 'CREATE UNIQUE INDEX CONCURRENTLY new_one ON two (id)';
  const run = start([], [...TWO, index]);
  await writeBehindIt();
  const { code, events } = await run.done;
  expect(code).toBe(74);
  expect(named(events, 'child.retry')).toEqual([]);
  // The first one reports what was there, because the last run had an unclean end.
  expect(named(events, 'database.leftovers').at(-1)).toMatchObject({ indexes: [{ name: 'new_one' }] });
  expect(await invalid()).toHaveLength(2);

  const second = start([], TWO);
  await writeBehindIt();
  await second.waitForEvent('child.retry');
  await reader.end();
  expect((await second.done).code).toBe(0);
  await db.sql`DROP TABLE two`;
});

test('the deadline counts also in a try that was cut off', async () => {
  const run = start(['--ttl', '7s', '--kill-grace', '500ms', '--retries', '0'], [TWO[0] ?? '', 60_000]);
  await writeBehindIt();
  expect((await run.done).code).toBe(124);
  await reader.end();
});

(PSQL === undefined ? test.skip : test)(
  'psql -f with two statements (skipped where psql is not installed)',
  async () => {
    const file = join(folder, 'two.sql');
    writeFileSync(file, TWO.map((statement) => `${statement};\n`).join(''));
    const script = ['psql', '-X', '-q', '-f', file, db.url];
    const run = startCli(['run', '--max-block', '500ms', '--retries', '0', '--', ...script], {
      env: { DATABASE_URL: db.url },
    });
    await writeBehindIt();
    const { code, events } = await run.done;
    await reader.end();
    expect(events).toContainEqual(expect.objectContaining({ event: 'child.exited', exitCode: 0 }));
    expect(await db.sql`SELECT FROM pg_class WHERE relname = 'after_it'`).toHaveLength(1);
    expect(code).toBe(74);
  },
);
