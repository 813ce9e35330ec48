SELECT "migrate_lock".look($1, $2, $3) AS answer
