-- One upgrade at a time. A role without rights on the table cannot hold this lock, as it could an advisory one.
LOCK TABLE "migrate_lock".migration_lock_version IN SHARE ROW EXCLUSIVE MODE
