SELECT "migrate_lock".release($1, $2, $3::pg_catalog.text::pg_catalog.jsonb, $4::pg_catalog.text::pg_catalog.jsonb) AS answer
