SELECT "migrate_lock".leave($1, $2) AS answer
