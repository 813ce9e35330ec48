SELECT "migrate_lock".prune(p_keep_ms => $1, p_limit => $2) AS answer
