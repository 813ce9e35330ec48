SELECT "migrate_lock".forget($1) AS answer
