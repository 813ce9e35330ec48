// A check for `migrate-lock run --check`. Exits 0 when nothing is pending, 1 when something is, 2 on an error.
import { fileURLToPath } from 'node:url';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import postgres from 'postgres';

const { DATABASE_URL, MIGRATIONS_FOLDER } = process.env;
if (DATABASE_URL === undefined) throw new Error('set DATABASE_URL');

const sql = postgres(DATABASE_URL, { max: 1, onnotice: () => undefined });
try {
  const migrations = readMigrationFiles({
    migrationsFolder: MIGRATIONS_FOLDER ?? fileURLToPath(new URL('./drizzle', import.meta.url)),
  });
  const hasTable = await sql`SELECT WHERE to_regclass('drizzle.__drizzle_migrations') IS NOT NULL`;
  // As Drizzle's migrator does: what is newer than the newest that has run.
  const [newest] =
    hasTable.length === 0 ? [] : await sql`SELECT max(created_at) AS at FROM drizzle.__drizzle_migrations`;
  const pending = migrations.filter(({ folderMillis }) => folderMillis > Number(newest?.at ?? 0));
  if (pending.length > 0) console.error(`pending: ${pending.length}`);
  process.exitCode = pending.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 2;
} finally {
  await sql.end();
}
