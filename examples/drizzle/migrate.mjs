import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import postgres from 'postgres';

const { DATABASE_URL, MIGRATIONS_FOLDER } = process.env;
if (DATABASE_URL === undefined) throw new Error('set DATABASE_URL');

const sql = postgres(DATABASE_URL, { max: 1, onnotice: () => undefined });
try {
  await migrate(drizzle(sql), {
    migrationsFolder: MIGRATIONS_FOLDER ?? fileURLToPath(new URL('./drizzle', import.meta.url)),
  });
} finally {
  await sql.end();
}
