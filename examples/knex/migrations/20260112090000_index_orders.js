// CREATE INDEX CONCURRENTLY waits for every open transaction: with a lock that holds one while it runs, it would never
// end.
export const config = { transaction: false };

/** @param {import('knex').Knex} knex */
export async function up(knex) {
  await knex.raw('CREATE INDEX CONCURRENTLY orders_customer_id ON orders (customer_id)');
  await knex('migration_runs').insert({ migration: '20260112090000_index_orders' });
}

/** @param {import('knex').Knex} knex */
export async function down(knex) {
  await knex.raw('DROP INDEX CONCURRENTLY orders_customer_id');
}
