SELECT "migrate_lock".poll(
    p_program => $1, p_instance_id => $2, p_secret => $3, p_ttl_ms => $4, p_client => $5::pg_catalog.text::pg_catalog.jsonb,
    p_command_sha256 => $6, p_run_key => $7, p_failure_memory_ms => $8, p_respect => $9,
    p_orphans => $10, p_seen => $11::pg_catalog.text::pg_catalog.jsonb,
    p_poll_interval_ms => $12, p_last => $13, p_listens => $14) AS answer
