-- Who waits now. Unlogged: after a crash of the server nobody waits any more, and waiting must cost no WAL.
CREATE UNLOGGED TABLE "migrate_lock".migration_lock_waiter (
    instance_id  text        PRIMARY KEY,
    arrived_at   timestamptz NOT NULL,
    counts_until timestamptz NOT NULL,    -- renewed while it polls; afterwards the waiter does not count any more
    host         text,
    pid          integer,
    db_role      text        NOT NULL,
    command      text,
    run_key      text
);
