/** @param {{ context: { sql: import('postgres').Sql } }} params */
export async function up({ context: { sql } }) {
  await sql`INSERT INTO ledger SELECT id, quantity * unit_price_cents FROM orders`;
  await sql`INSERT INTO migration_runs (migration) VALUES ('002_backfill_ledger')`;
}

/** @param {{ context: { sql: import('postgres').Sql } }} params */
export async function down({ context: { sql } }) {
  await sql`TRUNCATE ledger`;
}
