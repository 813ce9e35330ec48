SELECT "migrate_lock".poll(
    p_program => $1, p_instance_id => $2, p_secret => $3, p_ttl_ms => $4, p_host => $5, p_pid => $6, p_command => $7,
    p_command_sha256 => $8, p_run_key => $9, p_failure_memory_ms => $10, p_respect => $11,
    p_orphans => $12, p_seen => $13::pg_catalog.text::pg_catalog.jsonb,
    p_poll_interval_ms => $14, p_last => $15, p_listens => $16) AS answer
