/** Runs of a command that sends statements to the database, and the moments of its session. */
import { fileURLToPath } from 'node:url';
import type { TestDatabase } from './database.js';
import { NODE, startCli, type CliOptions, type RunningCli } from './run-cli.js';
import { waitFor } from './wait-for.js';

/** The command; its head says what it reads. */
export const STATEMENTS_PROGRAM = fileURLToPath(new URL('./fixtures/statements.mjs', import.meta.url));

export interface StatementsRun extends Pick<CliOptions, 'env'> {
  /** Of migrate-lock. */
  url: string;
  /** Of the command; otherwise that of migrate-lock. */
  commandUrl?: string;
  options: string[];
}

/** A new table `orders` and no lock schema. What a failed test has left must not hold up the next one: its sessions 'web' are ended. */
export async function startOver(db: TestDatabase): Promise<void> {
  await db.sql`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'web'`;
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
  await db.sql`DROP TABLE IF EXISTS orders`;
  await db.sql`CREATE TABLE orders (id serial PRIMARY KEY)`;
}

/** Runs the statements in one session, as fixtures/statements.mjs says. A number is a pause in milliseconds. */
export function startStatements(
  statements: readonly (string | number)[],
  { url, commandUrl = url, options, env }: StatementsRun,
): RunningCli {
  return startCli(['run', '--ttl', '30s', ...options, '--', NODE, STATEMENTS_PROGRAM], {
    env: { DATABASE_URL: url, DIRECT_URL: commandUrl, STATEMENTS: JSON.stringify(statements), ...env },
  });
}

/** Resolves when a session of a lease waits for a lock. */
export async function untilItWaits({ sql }: TestDatabase): Promise<void> {
  await waitFor('the migration waits', async () => {
    const [row] = await sql`
      SELECT FROM pg_stat_activity
       WHERE datname = current_database() AND application_name LIKE 'migrate-lock:%' AND wait_event_type = 'Lock'`;
    return row !== undefined;
  });
}

/** Resolves when a session of a lease waits for a lock, or with `held` has one, on the table. */
export async function untilLocked({ sql }: TestDatabase, table: string, held = true): Promise<void> {
  await waitFor(`${table} is locked`, async () => {
    const [row] = await sql`
      SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
       WHERE granted = ${held} AND relation = ${table}::regclass
         AND datname = current_database() AND application_name LIKE 'migrate-lock:%'
         AND mode IN ('AccessExclusiveLock', 'ShareUpdateExclusiveLock')`;
    return row !== undefined;
  });
}
