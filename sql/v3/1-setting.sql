-- What the owner has decided for this lock; `migrate-lock init` sets it.
CREATE TABLE "migrate_lock".migration_lock_setting (
    id                  smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    max_ttl_ms          bigint            CHECK (max_ttl_ms > 0),           -- null: no limit
    attempts_per_second integer  NOT NULL DEFAULT 200 CHECK (attempts_per_second BETWEEN 1 AND 100000)
);

INSERT INTO "migrate_lock".migration_lock_setting (id) VALUES (1);

-- Who may use the lock without owning it, and as which roles the commands of its runs work in the database.
CREATE TABLE "migrate_lock".migration_lock_role (
    db_role     text     PRIMARY KEY,
    child_roles text[]   NOT NULL DEFAULT '{}',
    attempts    regclass NOT NULL    -- a sequence: it also counts what is rolled back
);
