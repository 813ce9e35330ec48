SELECT "migrate_lock".status() AS answer
