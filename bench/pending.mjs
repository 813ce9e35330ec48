// The check of a knex project: exits with 0 when nothing is pending, with 1 when something is.
import knex from 'knex';
import config from './knexfile.mjs';

const database = knex(config);
try {
  const [, pending] = await database.migrate.list();
  process.exitCode = pending.length === 0 ? 0 : 1;
} finally {
  await database.destroy();
}
