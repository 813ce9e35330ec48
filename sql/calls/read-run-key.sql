SELECT "migrate_lock".read_run_key(p_run_key => $1, p_command_sha256 => $2, p_failure_memory_ms => $3) AS answer
