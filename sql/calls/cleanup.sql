SELECT "migrate_lock".cleanup($1::pg_catalog.text::pg_catalog.jsonb) AS answer
