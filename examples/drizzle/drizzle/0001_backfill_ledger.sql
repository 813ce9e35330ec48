INSERT INTO "ledger" ("order_id", "amount_cents")
SELECT "id", "quantity" * "unit_price_cents" FROM "orders";
--> statement-breakpoint
INSERT INTO "migration_runs" ("migration") VALUES ('0001_backfill_ledger');
