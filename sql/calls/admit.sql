SELECT "migrate_lock".admit($1, $2::pg_catalog.text::pg_catalog.jsonb) AS answer
