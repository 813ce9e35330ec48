-- Up Migration
CREATE TABLE ledger (order_id integer NOT NULL, amount_cents integer NOT NULL);

INSERT INTO ledger SELECT id, quantity * unit_price_cents FROM orders;

INSERT INTO migration_runs (migration) VALUES ('backfill-ledger');

-- Down Migration
DROP TABLE ledger;
