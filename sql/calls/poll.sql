SELECT "migrate_lock".poll($1, $2, $3, $4::pg_catalog.text::pg_catalog.jsonb, $5::pg_catalog.text::pg_catalog.jsonb, $6, $7) AS answer
