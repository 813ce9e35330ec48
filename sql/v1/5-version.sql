-- Which version of the lock schema this is, and the oldest program (by the schema version it was built for) that
-- may use it. A program that is older than the schema, but not too old, keeps working and changes nothing.
CREATE TABLE "migrate_lock".migration_lock_version (
    id             smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    version        integer     NOT NULL,
    oldest_program integer     NOT NULL,
    applied_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "migrate_lock".migration_lock_version (version, oldest_program) VALUES (1, 1);
