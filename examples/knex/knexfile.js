const { DATABASE_URL } = process.env;
if (DATABASE_URL === undefined) throw new Error('set DATABASE_URL');

/** @type {import('knex').Knex.Config} */
export default {
  client: 'pg',
  connection: DATABASE_URL,
};
