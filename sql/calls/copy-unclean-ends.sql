COPY "migrate_lock".migration_lock_unclean_end
    (kind, instance_id, command, locked_at, ended_at) TO STDOUT
