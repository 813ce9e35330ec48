UPDATE "migrate_lock".migration_lock_version SET version = 4, applied_at = clock_timestamp();
