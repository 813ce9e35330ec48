CREATE TABLE "migration_runs" (
	"migration" text NOT NULL,
	"application_name" text DEFAULT current_setting('application_name') NOT NULL,
	"ran_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "orders" (
	"id" serial PRIMARY KEY NOT NULL,
	"customer_id" integer NOT NULL,
	"quantity" integer NOT NULL,
	"unit_price_cents" integer NOT NULL
);
--> statement-breakpoint
INSERT INTO "orders" ("customer_id", "quantity", "unit_price_cents")
SELECT 1 + n % 200, 1 + n % 7, 100 + n % 900 FROM generate_series(1, 20000) AS n;
--> statement-breakpoint
CREATE TABLE "ledger" (
	"id" serial PRIMARY KEY NOT NULL,
	"order_id" integer NOT NULL REFERENCES "orders" ("id"),
	"amount_cents" integer NOT NULL
);
--> statement-breakpoint
INSERT INTO "migration_runs" ("migration") VALUES ('0000_create_shop');
