CREATE TABLE migration_runs (migration text NOT NULL, application_name text NOT NULL);
CREATE TABLE orders (id integer PRIMARY KEY, cents integer NOT NULL);
CREATE TABLE ledger (order_id integer NOT NULL, cents integer NOT NULL);
INSERT INTO orders SELECT n, n * 100 FROM generate_series(1, 20) AS n;
INSERT INTO migration_runs VALUES ('create_shop', current_setting('application_name'));
