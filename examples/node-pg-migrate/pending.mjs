// A check for `migrate-lock run --check`. Exits 0 when nothing is pending, 1 when something is, 2 on an error.
import { runner } from 'node-pg-migrate';

const { DATABASE_URL } = process.env;
if (DATABASE_URL === undefined) throw new Error('set DATABASE_URL');

try {
  const pending = await runner({
    databaseUrl: DATABASE_URL,
    dir: 'migrations',
    migrationsTable: 'pgmigrations',
    direction: 'up',
    // Nothing is marked as run, and no statement of a migration is sent.
    dryRun: true,
    noLock: true,
    log: () => undefined,
  });
  for (const { name } of pending) console.error(`pending: ${name}`);
  process.exitCode = pending.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 2;
}
