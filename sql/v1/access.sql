-- What the owner has decided for this lock; `migrate-lock init` sets it.
CREATE TABLE "migrate_lock".migration_lock_setting (
    id                  smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    max_ttl_ms          bigint            CHECK (max_ttl_ms > 0),           -- null: no limit
    attempts_per_second integer  NOT NULL DEFAULT 200 CHECK (attempts_per_second BETWEEN 1 AND 100000)
);

INSERT INTO "migrate_lock".migration_lock_setting (id) VALUES (1);

-- The roles that may use the lock, by OID: a role that is dropped and created again is another role. Row 0 is that of the owner,
-- and of all roles that can act as the owner.
CREATE TABLE "migrate_lock".migration_lock_role (
    role        oid      PRIMARY KEY,
    child_roles oid[]    NOT NULL DEFAULT '{}',   -- as which the commands of its runs connect to the database
    attempts    regclass NOT NULL,                -- a sequence that counts: a rollback does not take it back
    granted     text[]   NOT NULL DEFAULT '{}'    -- functions that were granted once: one that was revoked by hand stays so
);

-- An attempt moves a counter on by a tenth of what it costs, in microseconds; see rate-limit.sql.
CREATE SEQUENCE "migrate_lock".migration_lock_attempts INCREMENT BY 500;

INSERT INTO "migrate_lock".migration_lock_role (role, attempts)
VALUES (0, to_regclass(format('%I.migration_lock_attempts', 'migrate_lock')));

-- How many attempts each client (a role at an address) has made. Unlogged: after a crash of the server, clients start without attempts.
CREATE UNLOGGED TABLE "migrate_lock".migration_lock_client (
    kind       text        NOT NULL,    -- attempt, or what was refused
    db_role    text        NOT NULL,
    address    text        NOT NULL,    -- empty: over a Unix socket
    next_at    timestamptz NOT NULL,    -- attempts so far are paid for at this moment (GCRA's theoretical arrival time)
    counted_at timestamptz NOT NULL,
    refused_at timestamptz,             -- when a refusal was last written into the history
    PRIMARY KEY (kind, db_role, address)
) WITH (fillfactor = 50);
