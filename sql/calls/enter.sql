SELECT "migrate_lock".enter($1, $2, $3, $4, $5::pg_catalog.text::pg_catalog.jsonb, $6::pg_catalog.text::pg_catalog.jsonb, $7, $8) AS answer
