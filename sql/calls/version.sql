SELECT "migrate_lock".version() AS answer
