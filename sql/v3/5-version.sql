UPDATE "migrate_lock".migration_lock_version SET version = 3, applied_at = clock_timestamp();
