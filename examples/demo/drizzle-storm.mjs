import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, migrationRuns, newDatabase } from './database.mjs';
import { judge } from './drizzle-verdict.mjs';
import { storm, withLock } from './processes.mjs';
import { heading, seconds, table } from './text.mjs';

const INSTANCES = 10;
const CWD = fileURLToPath(new URL('../drizzle', import.meta.url));
const MIGRATE = join(CWD, 'migrate.mjs');
/** Longer than the instances need to start. */
const GATE_LIMIT_MS = 60_000;

/**
 * Drizzle's migrator has no lock of its own. In both cases the previous release has created the tables, and this one
 * has a backfill.
 * @param {import('./database.mjs').Server} server
 * @returns {Promise<string[]>} faults
 */
export async function drizzleStorm(server) {
  heading(`drizzle-orm: ${INSTANCES} instances at the same moment, a backfill pending (examples/drizzle)`);
  const previous = await previousRelease(join(CWD, 'drizzle'), join(server.folder, 'previous-release'));
  console.log(
    `${INSTANCES} x node migrate.mjs, held back until each has seen that the backfill is pending ...`,
  );
  const without = await release(server, 'drizzle_without', previous, [MIGRATE], { isGated: true });
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
  const { isDamaged, faults } = judge(without, with_, INSTANCES);
  if (isDamaged)
    console.log(
      `\nThe damage without the lock: the ledger has every order ${INSTANCES} times, and ${without.succeeded} instances exited 0.`,
    );
  return faults;
}

/**
 * @param {import('./database.mjs').Server} server
 * @param {string} name of a new database
 * @param {string} previous the migrations of the release before
 * @param {string[]} args of Node
 * @param {{ isGated?: boolean }} [options]
 * @returns {Promise<import('./drizzle-verdict.mjs').Release & { tookMs: number }>}
 */
async function release(server, name, previous, args, { isGated = false } = {}) {
  const databaseUrl = await newDatabase(server, name);
  await storm(1, [MIGRATE], { cwd: CWD, databaseUrl, env: { MIGRATIONS_FOLDER: previous } });
  const started = performance.now();
  const start = () => storm(INSTANCES, args, { cwd: CWD, databaseUrl });
  const finished = await (isGated ? behindGate(databaseUrl, start) : start());
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
 * Without the lock, it depends on timing how many instances read the ledger before the first of them writes to it. Here
 * all do:
 * none can write before all have read it.
 * @template T
 * @param {string} databaseUrl
 * @param {() => Promise<T>} start
 * @returns {Promise<T>}
 */
async function behindGate(databaseUrl, start) {
  /** @type {{ started: Promise<T> | undefined }} in an object, because a returned promise would be awaited */
  const storm = { started: undefined };
  await ask(databaseUrl, (sql) =>
    sql.begin(async (gate) => {
      await gate`LOCK TABLE ledger IN SHARE MODE`;
      storm.started = start();
      let isOver = false;
      storm.started.finally(() => (isOver = true)).catch(() => undefined);
      for (const startedAt = performance.now(); !isOver && performance.now() - startedAt < GATE_LIMIT_MS;) {
        const waiting = await gate`SELECT FROM pg_locks WHERE relation = 'ledger'::regclass AND NOT granted`;
        if (waiting.length >= INSTANCES) return;
        await sleep(20);
      }
    }),
  );
  return /** @type {Promise<T>} */ (storm.started);
}

/**
 * A copy of the migrations without the newest one.
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
