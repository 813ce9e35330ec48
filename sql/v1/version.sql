-- Which version of the lock schema this is, and the oldest program (by the schema version that it was built for) that may use
-- it. The first table to be created: two that create the schema at once meet here at the latest.
CREATE TABLE "migrate_lock".migration_lock_version (
    id             smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    version        integer     NOT NULL,
    oldest_program integer     NOT NULL,
    applied_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "migrate_lock".migration_lock_version (version, oldest_program) VALUES (1, 1);
