SELECT "migrate_lock".prune($1) AS answer
