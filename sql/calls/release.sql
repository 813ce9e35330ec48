SELECT "migrate_lock".release(
    p_instance_id => $1, p_secret => $2, p_by => $3, p_orphans => $4, p_seen => $5::pg_catalog.text::pg_catalog.jsonb,
    p_details => $6::pg_catalog.text::pg_catalog.jsonb, p_succeeded => $7, p_exit_code => $8, p_duration_ms => $9) AS answer
