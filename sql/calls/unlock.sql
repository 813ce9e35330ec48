SELECT "migrate_lock".unlock(
    p_instance_id => $1, p_force => $2, p_leave_sessions => $3, p_orphans => $4,
    p_seen => $5::pg_catalog.text::pg_catalog.jsonb) AS answer
