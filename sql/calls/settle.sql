SELECT "migrate_lock".settle(
    p_instance_id => $1, p_secret => $2, p_orphans => $3, p_seen => $4::pg_catalog.text::pg_catalog.jsonb) AS answer
