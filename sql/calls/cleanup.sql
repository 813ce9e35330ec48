SELECT "migrate_lock".cleanup(p_orphans => $1, p_seen => $2::pg_catalog.text::pg_catalog.jsonb) AS answer
