SELECT "migrate_lock".chain($1, $2) AS answer
