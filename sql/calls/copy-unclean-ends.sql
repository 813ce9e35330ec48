COPY "migrate_lock".migration_lock_unclean_end
    (kind, instance_id, command, ended_at) TO STDOUT
