SELECT "migrate_lock".acquire($1, $2, $3, $4::pg_catalog.text::pg_catalog.jsonb, $5::pg_catalog.text::pg_catalog.jsonb) AS answer
