SELECT "migrate_lock".extend($1, $2, $3) AS answer
