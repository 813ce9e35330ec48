SELECT "migrate_lock".assert_held($1, $2) AS answer
