-- Up Migration
CREATE TABLE migration_runs (
  migration text NOT NULL,
  application_name text NOT NULL DEFAULT current_setting('application_name'),
  ran_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE orders (
  id serial PRIMARY KEY,
  quantity integer NOT NULL,
  unit_price_cents integer NOT NULL
);

INSERT INTO orders (quantity, unit_price_cents)
SELECT 1 + n % 7, 100 + n % 900 FROM generate_series(1, 10000) AS n;

INSERT INTO migration_runs (migration) VALUES ('create-shop');

-- Down Migration
DROP TABLE orders, migration_runs;
