import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, migrationRuns, newDatabase } from './database.mjs';
import { storm, withLock } from './processes.mjs';
import { heading, seconds, table } from './text.mjs';

const INSTANCES = 10;
const CWD = fileURLToPath(new URL('../drizzle', import.meta.url));
const MIGRATE = join(CWD, 'migrate.mjs');

/**
 * Drizzle's migrator has no lock of its own. Both times the previous release has made the tables already, and this one
 * brings a backfill.
 * @param {import('./database.mjs').Server} server
 * @returns {Promise<string[]>} faults
 */
export async function drizzleStorm(server) {
  heading(`drizzle-orm: ${INSTANCES} instances at the same moment, a backfill pending (examples/drizzle)`);
  const previous = await previousRelease(join(CWD, 'drizzle'), join(server.folder, 'previous-release'));
  console.log(`${INSTANCES} x node migrate.mjs ...`);
  const without = await release(server, 'drizzle_without', previous, [MIGRATE]);
  console.log(`${INSTANCES} x migrate-lock run -- node migrate.mjs ...\n`);
  const locked = withLock(['node', 'migrate.mjs'], { waitTimeout: '2m' });
  const with_ = await release(server, 'drizzle_with', previous, locked);
  table(
    ['', 'without migrate-lock', 'with migrate-lock'],
    [
      ...with_.runs.map(({ migration, runs }) => [
        `runs of ${migration}`,
        without.runs.find((other) => other.migration === migration)?.runs ?? 0,
        runs,
      ]),
      ['rows in ledger (orders: ' + with_.orders + ')', without.ledger, with_.ledger],
      ['instances that exited 0', without.succeeded, with_.succeeded],
      ['time', seconds(without.tookMs), seconds(with_.tookMs)],
    ],
  );
  return [
    ...(with_.succeeded === INSTANCES
      ? []
      : [`drizzle: only ${with_.succeeded} of ${INSTANCES} exited 0: ${with_.stderr}`]),
    ...(with_.runs.length === 2 ? [] : [`drizzle: ${with_.runs.length} of 2 migrations ran`]),
    ...with_.runs
      .filter(({ runs }) => runs !== 1)
      .map(({ migration, runs }) => `drizzle: ${migration} ran ${runs} times`),
  ];
}

/**
 * @param {import('./database.mjs').Server} server
 * @param {string} name of a new database
 * @param {string} previous the migrations of the release before
 * @param {string[]} args of Node
 */
async function release(server, name, previous, args) {
  const databaseUrl = await newDatabase(server, name);
  await storm(1, [MIGRATE], { cwd: CWD, databaseUrl, env: { MIGRATIONS_FOLDER: previous } });
  const started = performance.now();
  const finished = await storm(INSTANCES, args, { cwd: CWD, databaseUrl });
  const tookMs = performance.now() - started;
  const [rows] = await ask(
    databaseUrl,
    (sql) => sql`
    SELECT (SELECT count(*)::int FROM ledger) AS ledger, (SELECT count(*)::int FROM orders) AS orders`,
  );
  return {
    tookMs,
    succeeded: finished.filter(({ code }) => code === 0).length,
    stderr: finished.map(({ stderr }) => stderr.trim()).find((text) => text !== '') ?? '',
    runs: await migrationRuns(databaseUrl),
    ledger: Number(rows?.['ledger']),
    orders: Number(rows?.['orders']),
  };
}

/**
 * A copy of the migrations that ends before the newest one.
 * @param {string} folder
 * @param {string} copy
 */
async function previousRelease(folder, copy) {
  await cp(folder, copy, { recursive: true });
  const path = join(copy, 'meta', '_journal.json');
  const journal = JSON.parse(await readFile(path, 'utf8'));
  journal.entries.pop();
  await writeFile(path, JSON.stringify(journal));
  return copy;
}
