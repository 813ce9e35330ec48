-- The commands whose last lease had an unclean end: one row for each command, until it succeeds or is recovered. Written in the
-- transaction that ends the lease, or that takes it over.
CREATE TABLE "migrate_lock".migration_lock_unclean_end (
    command_sha256 text        PRIMARY KEY,
    kind           text        NOT NULL,   -- signalled, deadline, killed, expired, unlocked, leftovers
    locked_at      timestamptz NOT NULL,   -- when the lease began, the first of several
    ended_at       timestamptz NOT NULL,
    instance_id    text        NOT NULL,
    command        text,
    run_key        text                    -- null: the lease had none
);

CREATE INDEX migration_lock_unclean_end_ended_at ON "migrate_lock".migration_lock_unclean_end (ended_at);
CREATE INDEX migration_lock_unclean_end_run_key ON "migrate_lock".migration_lock_unclean_end (run_key, ended_at);
