INSERT INTO ledger SELECT id, cents FROM orders;
INSERT INTO migration_runs VALUES ('backfill_ledger', current_setting('application_name'));
