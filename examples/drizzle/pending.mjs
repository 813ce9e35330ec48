// A check for `migrate-lock run --check`. Exits 0 when nothing is pending, 1 when something is, 2 on an error.
import { fileURLToPath } from 'node:url';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import postgres from 'postgres';

const sql = postgres(process.env.DATABASE_URL, { max: 1, onnotice: () => undefined });
try {
  const migrationsFolder =
    process.env.MIGRATIONS_FOLDER ?? fileURLToPath(new URL('./drizzle', import.meta.url));
  const migrations = readMigrationFiles({ migrationsFolder });
  const [{ table }] = await sql`SELECT to_regclass('drizzle.__drizzle_migrations') AS table`;
  // As Drizzle's migrator does: what is newer than the newest that has run.
  const [newest] =
    table === null ? [] : await sql`SELECT max(created_at) AS at FROM drizzle.__drizzle_migrations`;
  const pending = migrations.filter(({ folderMillis }) => folderMillis > Number(newest?.at ?? 0));
  if (pending.length > 0) console.error(`pending: ${pending.length}`);
  process.exitCode = pending.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 2;
} finally {
  await sql.end();
}
