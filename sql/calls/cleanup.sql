SELECT "migrate_lock".cleanup() AS answer
