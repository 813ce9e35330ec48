SELECT "migrate_lock".unlock($1, $2, $3::pg_catalog.text::pg_catalog.jsonb) AS answer
