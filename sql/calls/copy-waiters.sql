COPY "migrate_lock".migration_lock_waiter
    (instance_id, host, pid, db_role, command, run_key, arrived_at, counts_until) TO STDOUT
