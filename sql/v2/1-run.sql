-- Work that needs to succeed once: how its last run ended. Written in the transaction that releases the lease.
CREATE TABLE "migrate_lock".migration_lock_run (
    run_key       text        PRIMARY KEY,
    succeeded     boolean     NOT NULL,   -- once it has, it stays so
    exit_code     integer     NOT NULL,
    finished_at   timestamptz NOT NULL,
    duration_ms   bigint      NOT NULL,   -- of the command
    instance_id   text        NOT NULL,
    fencing_token bigint      NOT NULL,
    host          text,
    db_role       text        NOT NULL,
    command       text
);

CREATE INDEX migration_lock_run_finished_at ON "migrate_lock".migration_lock_run (finished_at);
