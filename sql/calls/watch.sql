SELECT "migrate_lock".watch(p_run_key => $1, p_watcher => $2, p_last => $3) AS answer
