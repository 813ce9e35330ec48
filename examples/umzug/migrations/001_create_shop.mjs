/** @param {{ context: { sql: import('postgres').Sql } }} params */
export async function up({ context: { sql } }) {
  await sql`
    CREATE TABLE migration_runs (
      migration text NOT NULL,
      application_name text NOT NULL DEFAULT current_setting('application_name'),
      ran_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`;
  await sql`
    CREATE TABLE orders (
      id serial PRIMARY KEY,
      quantity integer NOT NULL,
      unit_price_cents integer NOT NULL
    )`;
  await sql`
    INSERT INTO orders (quantity, unit_price_cents)
    SELECT 1 + n % 7, 100 + n % 900 FROM generate_series(1, 10000) AS n`;
  await sql`CREATE TABLE ledger (order_id integer NOT NULL, amount_cents integer NOT NULL)`;
  await sql`INSERT INTO migration_runs (migration) VALUES ('001_create_shop')`;
}

/** @param {{ context: { sql: import('postgres').Sql } }} params */
export async function down({ context: { sql } }) {
  await sql`DROP TABLE migration_runs, orders, ledger`;
}
