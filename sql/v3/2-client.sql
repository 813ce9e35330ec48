-- How much each client (a role at an address) has asked for. Unlogged: what is lost in a crash of the server is forgiven.
CREATE UNLOGGED TABLE "migrate_lock".migration_lock_client (
    kind       text        NOT NULL,    -- of what it asked: attempt, or what it was refused
    db_role    text        NOT NULL,
    address    text        NOT NULL,    -- empty: over a Unix socket
    next_at    timestamptz NOT NULL,    -- attempts so far are paid for at this moment (GCRA's theoretical arrival time)
    counted_at timestamptz NOT NULL,
    refused_at timestamptz,             -- when a refusal was last written into the history
    PRIMARY KEY (kind, db_role, address)
) WITH (fillfactor = 50);
