SELECT "migrate_lock".history($1, $2) AS answer
