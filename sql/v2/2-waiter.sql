-- The few who keep a connection and are notified of a release.
ALTER TABLE "migrate_lock".migration_lock_waiter ADD COLUMN listens boolean NOT NULL DEFAULT false;
