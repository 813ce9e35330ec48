-- Only one at a time applies the schema; everybody else looks again. Advisory locks are per database.
SELECT pg_catalog.pg_try_advisory_xact_lock(
           pg_catalog.hashtextextended(pg_catalog.concat('migrate-lock schema ', $1::pg_catalog.text), 0)) AS mine,
       EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::pg_catalog.text) AS present
