SELECT "migrate_lock".look($1, $2) AS answer
