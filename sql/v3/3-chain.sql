-- Rows that tell of a change are chained: each has the SHA-256 of the row before it and of itself. Others (a refusal, a wait
-- that timed out) are not, as they are written without the lock.
ALTER TABLE "migrate_lock".migration_lock_audit
    ADD COLUMN chain_seq bigint UNIQUE,
    ADD COLUMN hash      bytea,
    ADD CONSTRAINT migration_lock_audit_chained CHECK ((chain_seq IS NULL) = (hash IS NULL));

-- Both ends of the chain, kept apart from it. Only who has locked the row of the lock changes this one.
CREATE TABLE "migrate_lock".migration_lock_chain (
    id             smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    head_seq       bigint   NOT NULL DEFAULT 0,
    head_hash      bytea    NOT NULL DEFAULT '',
    tail_seq       bigint   NOT NULL DEFAULT 0,   -- the last row that cleanup has removed
    tail_hash      bytea    NOT NULL DEFAULT '',
    first_audit_id bigint   NOT NULL              -- rows up to this one are older than the chain
);

INSERT INTO "migrate_lock".migration_lock_chain (first_audit_id)
SELECT coalesce(max(id), 0) FROM "migrate_lock".migration_lock_audit;
