COPY "migrate_lock".migration_lock
    (instance_id, fencing_token, host, pid, db_role, command, run_key, locked_at, expires_at, released_at) TO STDOUT
