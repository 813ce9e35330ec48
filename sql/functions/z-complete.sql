SELECT "migrate_lock".complete_schema();
