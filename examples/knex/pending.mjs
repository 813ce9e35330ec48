// A check for `migrate-lock run --check`. Exits 0 when nothing is pending, 1 when something is, 2 on an error.
import knex from 'knex';
import config from './knexfile.js'; // with several environments: config[process.env.NODE_ENV]

const database = knex(config);
try {
  const [, pending] = await database.migrate.list();
  for (const { file } of pending) console.error(`pending: ${file}`);
  process.exitCode = pending.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 2;
} finally {
  await database.destroy();
}
