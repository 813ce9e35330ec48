SELECT "migrate_lock".configure($1::pg_catalog.text::pg_catalog.jsonb) AS answer
