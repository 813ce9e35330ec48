-- The history of the lock: append-only, each row written in the transaction that it describes. Rows about a change are
-- chained: each has the SHA-256 of the row before it and of itself. A refusal and a wait that timed out are not chained, as
-- they are written without the lock.
CREATE TABLE "migrate_lock".migration_lock_audit (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT clock_timestamp(),
    event            text        NOT NULL,
    instance_id      text,
    fencing_token    bigint,
    db_role          text        NOT NULL DEFAULT session_user,
    client_addr      inet        DEFAULT inet_client_addr(),
    application_name text        DEFAULT current_setting('application_name'),
    details          jsonb       NOT NULL DEFAULT '{}',
    secret_sha256    bytea,                -- of an acquisition: proves later that a call comes from that holder
    chain_seq        bigint      UNIQUE,
    hash             bytea,
    CONSTRAINT migration_lock_audit_chained CHECK ((chain_seq IS NULL) = (hash IS NULL))
);

CREATE INDEX migration_lock_audit_instance_id ON "migrate_lock".migration_lock_audit (instance_id);
CREATE INDEX migration_lock_audit_at ON "migrate_lock".migration_lock_audit (at, id);

-- Both ends of the chain, kept apart from it. Only a transaction that has locked the row of the lock changes this row.
CREATE TABLE "migrate_lock".migration_lock_chain (
    id        smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    head_seq  bigint   NOT NULL DEFAULT 0,
    head_hash bytea    NOT NULL DEFAULT '',
    tail_seq  bigint   NOT NULL DEFAULT 0,   -- the last row that cleanup has removed
    tail_hash bytea    NOT NULL DEFAULT ''
);

INSERT INTO "migrate_lock".migration_lock_chain DEFAULT VALUES;

CREATE FUNCTION "migrate_lock".refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    -- prune() removes rows in one statement of its own.
    IF TG_OP = 'DELETE' AND current_setting('migrate_lock.pruned_by', true) = statement_timestamp()::text THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'migration_lock_audit is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$body$;

CREATE TRIGGER migration_lock_audit_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON "migrate_lock".migration_lock_audit
    FOR EACH STATEMENT EXECUTE FUNCTION "migrate_lock".refuse_audit_change();

-- Records a change of the lock's row that none of our functions made: the owner changed it by hand.
CREATE FUNCTION "migrate_lock".record_manipulation() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease   "migrate_lock".migration_lock;
    before_ jsonb;
    after_  jsonb;
    details jsonb := jsonb_build_object('operation', TG_OP);
BEGIN
    IF TG_OP = 'INSERT' THEN
        lease  := NEW;
        after_ := to_jsonb(NEW);
    ELSIF TG_OP <> 'TRUNCATE' THEN
        lease   := OLD;
        before_ := to_jsonb(OLD);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- Only what differs.
        SELECT jsonb_object_agg(key, value), jsonb_object_agg(key, to_jsonb(NEW) -> key) INTO before_, after_
          FROM jsonb_each(to_jsonb(OLD))
         WHERE value IS DISTINCT FROM to_jsonb(NEW) -> key;
        IF before_ IS NULL THEN
            RETURN NULL;
        END IF;
        details := details || jsonb_build_object('secretChanged', before_ ? 'secret_sha256');
    END IF;
    details := details || jsonb_strip_nulls(jsonb_build_object(
        'before', before_ - 'secret_sha256', 'after', after_ - 'secret_sha256'));
    PERFORM "migrate_lock".record_change('lock.manipulated', lease.instance_id, lease.fencing_token, details);
    RETURN NULL;
END
$body$;

CREATE TRIGGER migration_lock_manipulated
    AFTER INSERT OR UPDATE OR DELETE ON "migrate_lock".migration_lock
    FOR EACH ROW
    WHEN (current_setting('migrate_lock.changed_by', true) IS DISTINCT FROM statement_timestamp()::text)
    EXECUTE FUNCTION "migrate_lock".record_manipulation();

CREATE TRIGGER migration_lock_truncated
    AFTER TRUNCATE ON "migrate_lock".migration_lock
    FOR EACH STATEMENT EXECUTE FUNCTION "migrate_lock".record_manipulation();
