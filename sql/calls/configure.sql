SELECT "migrate_lock".configure(p_max_ttl_ms => $1, p_attempts_per_second => $2) AS answer
