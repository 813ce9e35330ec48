-- Work that needs to succeed once: how its last run ended. Written in the transaction that releases the lease. The same key
-- with another command is other work.
CREATE TABLE "migrate_lock".migration_lock_run (
    run_key        text        NOT NULL,
    command_sha256 text        NOT NULL,
    succeeded      boolean     NOT NULL,
    exit_code      integer     NOT NULL,
    finished_at    timestamptz NOT NULL,
    duration_ms    bigint      NOT NULL,   -- of the command
    instance_id    text        NOT NULL,
    fencing_token  bigint      NOT NULL,
    host           text,
    db_role        text        NOT NULL,
    command        text,
    PRIMARY KEY (run_key, command_sha256)
);

-- The newest run of a key, of each kind: without it, PostgreSQL may read the runs of all keys by their time.
CREATE INDEX migration_lock_run_newest ON "migrate_lock".migration_lock_run (run_key, succeeded, finished_at);
CREATE INDEX migration_lock_run_finished_at ON "migrate_lock".migration_lock_run (finished_at);
