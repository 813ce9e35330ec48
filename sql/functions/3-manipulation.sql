-- Somebody has changed the row of the lock by hand: the owner, or who the owner has let.
CREATE OR REPLACE FUNCTION "migrate_lock".record_manipulation() RETURNS trigger
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

REVOKE ALL ON FUNCTION "migrate_lock".record_manipulation() FROM PUBLIC;

-- The history is append-only, but for what prune() takes off its end.
CREATE OR REPLACE FUNCTION "migrate_lock".refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('migrate_lock.pruned_by', true) = statement_timestamp()::text THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'migration_lock_audit is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".refuse_audit_change() FROM PUBLIC;
