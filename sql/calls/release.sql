SELECT "migrate_lock".release(
    p_instance_id => $1, p_secret => $2, p_by => $3, p_orphans => $4, p_seen => $5::pg_catalog.text::pg_catalog.jsonb,
    p_exit_code => $6, p_signal => $7, p_reason => $8, p_leftovers => $9,
    p_end => $10, p_recovered => $11,
    p_succeeded => $12, p_work_exit_code => $13, p_duration_ms => $14) AS answer
