SELECT "migrate_lock".grant_new_functions()
