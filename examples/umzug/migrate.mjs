import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { Umzug } from 'umzug';
import { MigrationTable } from './migration-table.mjs';

const { DATABASE_URL } = process.env;
if (DATABASE_URL === undefined) throw new Error('set DATABASE_URL');

const sql = postgres(DATABASE_URL, { max: 1, onnotice: () => undefined });
try {
  const umzug = new Umzug({
    migrations: { glob: ['migrations/*.mjs', { cwd: fileURLToPath(new URL('.', import.meta.url)) }] },
    context: { sql },
    storage: new MigrationTable(sql),
    logger: console,
  });
  await umzug.up();
} finally {
  await sql.end();
}
