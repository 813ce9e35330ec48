export default {
  client: 'pg',
  connection: process.env.DATABASE_URL,
  migrations: {
    tableName: process.env.MIGRATIONS_TABLE ?? 'knex_migrations',
    schemaName: process.env.MIGRATIONS_SCHEMA,
  },
};
