/**
 * One release with one pending migration, which takes half a second. Both contenders hand the connection on, each in its own
 * variable.
 * @type {import('knex').Knex.Config}
 */
export default {
  client: 'pg',
  connection: process.env['DATABASE_URL'] ?? process.env['PG_CONNECTION_STRING'] ?? '',
  migrations: {
    /** @type {import('knex').Knex.MigrationSource<string>} */
    migrationSource: {
      getMigrations: async () => ['20260101000000_accounts'],
      getMigrationName: (name) => name,
      getMigration: async () => ({
        up: async (knex) => {
          await knex.raw('SELECT pg_sleep(0.5)');
          await knex.schema.createTable('accounts', (table) => table.increments());
        },
        down: async (knex) => {
          await knex.schema.dropTable('accounts');
        },
      }),
    },
  },
};
