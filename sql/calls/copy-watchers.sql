COPY "migrate_lock".migration_lock_watcher (counts_until) TO STDOUT
