const BATCH = 1_000;

/** @param {import('knex').Knex} knex */
export async function up(knex) {
  await knex.schema.alterTable('orders', (table) => {
    table.integer('total_cents');
  });
  const [last] = await knex('orders').max('id as id');
  for (let id = 0; id < last.id; id += BATCH) {
    await knex('orders')
      .whereBetween('id', [id + 1, id + BATCH])
      .update({ total_cents: knex.raw('quantity * unit_price_cents') });
  }
  await knex.schema.alterTable('orders', (table) => {
    table.dropNullable('total_cents');
  });
  await knex('migration_runs').insert({ migration: '20260119090000_backfill_totals' });
}

/** @param {import('knex').Knex} knex */
export async function down(knex) {
  await knex.schema.alterTable('orders', (table) => {
    table.dropColumn('total_cents');
  });
}
