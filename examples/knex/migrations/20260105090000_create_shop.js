/** @param {import('knex').Knex} knex */
export async function up(knex) {
  // What really ran, and how often: no unique constraint hides a second run.
  await knex.schema.createTable('migration_runs', (table) => {
    table.text('migration').notNullable();
    table.text('application_name').notNullable().defaultTo(knex.raw(`current_setting('application_name')`));
    table.timestamp('ran_at').notNullable().defaultTo(knex.raw('clock_timestamp()'));
  });
  await knex.schema.createTable('customers', (table) => {
    table.increments('id');
    table.text('name').notNullable();
  });
  await knex.schema.createTable('orders', (table) => {
    table.increments('id');
    table.integer('customer_id').notNullable().references('customers.id');
    table.integer('quantity').notNullable();
    table.integer('unit_price_cents').notNullable();
  });
  await knex.raw(`INSERT INTO customers (name) SELECT 'Customer ' || n FROM generate_series(1, 200) AS n`);
  await knex.raw(`
    INSERT INTO orders (customer_id, quantity, unit_price_cents)
    SELECT 1 + n % 200, 1 + n % 7, 100 + n % 900 FROM generate_series(1, 10000) AS n`);
  await knex('migration_runs').insert({ migration: '20260105090000_create_shop' });
}

/** @param {import('knex').Knex} knex */
export async function down(knex) {
  await knex.schema.dropTable('orders').dropTable('customers').dropTable('migration_runs');
}
