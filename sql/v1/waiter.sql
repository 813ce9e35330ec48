-- The instances that wait. Unlogged: a crash of the server ends every wait, and waiting must not write WAL.
CREATE UNLOGGED TABLE "migrate_lock".migration_lock_waiter (
    instance_id    text        PRIMARY KEY,
    secret_sha256  bytea       NOT NULL,
    arrived_at     timestamptz NOT NULL,
    counts_until   timestamptz NOT NULL,   -- renewed by polls; after it the waiter does not count
    host           text,
    pid            integer,
    db_role        text        NOT NULL,
    command        text,
    command_sha256 text,
    run_key        text,
    listens        boolean     NOT NULL    -- one of the few that a release notifies
);

-- A migration's open transaction keeps every dead version of a row. With this index a poll does not read them.
CREATE INDEX migration_lock_waiter_counts_until ON "migrate_lock".migration_lock_waiter (counts_until);

-- The instances that wait for a run key (`migrate-lock wait`): only their number matters, so that together they read rarely.
CREATE UNLOGGED TABLE "migrate_lock".migration_lock_watcher (
    db_role      text        NOT NULL,
    watcher      text        NOT NULL,   -- a random name of its own, shown nowhere
    counts_until timestamptz NOT NULL,   -- renewed by reads; after it the watcher does not count
    PRIMARY KEY (db_role, watcher)
);

CREATE INDEX migration_lock_watcher_counts_until ON "migrate_lock".migration_lock_watcher (counts_until);
