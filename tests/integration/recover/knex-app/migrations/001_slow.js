export const config = { transaction: false };

/** @param {import('knex').Knex} knex */
export async function up(knex) {
  if (process.env.SLOW !== undefined) await knex.raw('SELECT pg_sleep(60)');
  await knex.raw('CREATE TABLE migrated ()');
}

export function down() {
  return Promise.resolve();
}
