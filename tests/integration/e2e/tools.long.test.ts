import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, expect, test } from '@jest/globals';
import type postgres from 'postgres';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PATH = [join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(delimiter);
const AT_ONCE = 20;

interface Tool {
  name: string;
  /** The command in its README in examples/. */
  command: string[];
  /** The tool's table of applied migrations, and its column with their names. */
  table: string;
  column: string;
  /** The migrations' names in that table. */
  recorded: (string | RegExp)[];
  /** Their names in the evidence that each of them writes, in order. */
  ran: string[];
  /** One row for each order if the backfill runs once. */
  backfilled: string;
}

const TOOLS: Tool[] = [
  {
    name: 'knex',
    command: ['knex', 'migrate:latest'],
    table: 'knex_migrations',
    column: 'name',
    recorded: [
      '20260105090000_create_shop.js',
      '20260112090000_index_orders.js',
      '20260119090000_backfill_totals.js',
    ],
    ran: ['20260105090000_create_shop', '20260112090000_index_orders', '20260119090000_backfill_totals'],
    backfilled: 'SELECT id FROM orders WHERE total_cents = quantity * unit_price_cents',
  },
  {
    name: 'drizzle',
    command: ['node', 'migrate.mjs'],
    table: 'drizzle.__drizzle_migrations',
    column: 'hash',
    recorded: [/^[0-9a-f]{64}$/, /^[0-9a-f]{64}$/],
    ran: ['0000_create_shop', '0001_backfill_ledger'],
    backfilled: 'SELECT id FROM ledger',
  },
  {
    name: 'umzug',
    command: ['node', 'migrate.mjs'],
    table: 'umzug_migrations',
    column: 'name',
    recorded: ['001_create_shop.mjs', '002_backfill_ledger.mjs'],
    ran: ['001_create_shop', '002_backfill_ledger'],
    backfilled: 'SELECT order_id FROM ledger',
  },
  {
    name: 'node-pg-migrate',
    command: ['node-pg-migrate', 'up'],
    table: 'pgmigrations',
    column: 'name',
    recorded: ['1767603600000_create-shop', '1768208400000_backfill-ledger'],
    ran: ['create-shop', 'backfill-ledger'],
    backfilled: 'SELECT order_id FROM ledger',
  },
];

const databases: TestDatabase[] = [];

afterEach(() => assertNothingLeft());
afterAll(() => Promise.all(databases.map((db) => db.drop())));

async function emptyDatabase(): Promise<TestDatabase> {
  const db = await createDatabase();
  databases.push(db);
  return db;
}

const folderOf = (tool: string) => join(ROOT, 'examples', tool);

test.each(TOOLS)(
  `${AT_ONCE} x $name at once: all exit 0, every migration ran once`,
  async (tool) => {
    const db = await emptyDatabase();
    const options = { cwd: folderOf(tool.name), env: { DATABASE_URL: db.url, PATH } };
    const results = await Promise.all(
      Array.from({ length: AT_ONCE }, () =>
        runCli(['run', '--quiet', '--ttl', '60s', '--wait-timeout', '4m', '--', ...tool.command], options),
      ),
    );
    const failed = results.filter(({ code }) => code !== 0);
    expect(new Set(failed.map(({ code, stderr }) => `${code}: ${stderr.slice(0, 200)}`))).toEqual(new Set());

    // Each run had its turn, and the tool's table and the evidence agree on what ran.
    const events = results.flatMap((result) => result.events);
    const tokens = events
      .filter(({ event }) => event === 'lock.acquired')
      .map(({ fencingToken }) => fencingToken);
    expect(new Set(tokens).size).toBe(AT_ONCE);
    expect(await namesIn(db.sql, tool.table, tool.column)).toEqual(
      tool.recorded.map((name) => (name instanceof RegExp ? expect.stringMatching(name) : name)),
    );
    expect(await namesIn(db.sql, 'migration_runs', 'migration')).toEqual([...tool.ran].sort());
    const [{ orders }] = await db.sql<[{ orders: number }]>`SELECT count(*)::int AS orders FROM orders`;
    expect(orders).toBeGreaterThan(0);
    expect(await db.sql.unsafe(tool.backfilled)).toHaveLength(orders);

    // The migrations ran in the command of the first holder.
    const first = events.find(
      ({ fencingToken, event }) =>
        event === 'lock.acquired' && fencingToken === Math.min(...tokens.map(Number)),
    );
    const by = await db.sql<{ name: string }[]>`SELECT DISTINCT application_name AS name FROM migration_runs`;
    expect(by.map(({ name }) => name)).toEqual([`migrate-lock:${first?.instanceId}`]);
  },
  240_000,
);

test('without the lock, the same starts run a backfill once each', async () => {
  const instances = 6;
  const db = await emptyDatabase();
  const previous = mkdtempSync(join(tmpdir(), 'migrate-lock-previous-release-'));
  try {
    const drizzle = (env: Record<string, string> = {}) =>
      startCli([], {
        program: ['migrate.mjs'],
        auditOnly: false,
        cwd: folderOf('drizzle'),
        env: { DATABASE_URL: db.url, ...env },
      }).done;
    cpSync(join(folderOf('drizzle'), 'drizzle'), previous, { recursive: true });
    const journal = join(previous, 'meta', '_journal.json');
    const { entries, ...rest } = JSON.parse(readFileSync(journal, 'utf8')) as { entries: unknown[] };
    writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, -1) }));
    expect(await drizzle({ MIGRATIONS_FOLDER: previous })).toMatchObject({ code: 0 });

    // All of them reach the backfill before any executes it: all have seen that it is pending.
    const storm = await db.sql.begin(async (gate) => {
      await gate`LOCK TABLE ledger IN SHARE MODE`;
      const started = Promise.all(Array.from({ length: instances }, () => drizzle()));
      await waitFor('all at the gate', async () => {
        const waiting =
          await db.sql`SELECT FROM pg_locks WHERE relation = 'ledger'::regclass AND NOT granted`;
        return waiting.length === instances;
      });
      return { started };
    });
    expect((await storm.started).map(({ code }) => code)).toEqual(Array(instances).fill(0));
    const runs = await namesIn(db.sql, 'migration_runs', 'migration');
    expect(runs.filter((name) => name === '0001_backfill_ledger')).toHaveLength(instances);
  } finally {
    rmSync(previous, { recursive: true });
  }
});

async function namesIn(sql: postgres.Sql, table: string, column: string): Promise<string[]> {
  const rows = await sql.unsafe<{ name: string }[]>(`SELECT ${column} AS name FROM ${table} ORDER BY 1`);
  return rows.map(({ name }) => name);
}
