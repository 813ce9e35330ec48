-- The history of the lock: append-only, written in the transaction of what it tells about.
CREATE TABLE "migrate_lock".migration_lock_audit (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT clock_timestamp(),
    event            text        NOT NULL,
    instance_id      text,
    fencing_token    bigint,
    db_role          text        NOT NULL DEFAULT session_user,
    client_addr      inet        DEFAULT inet_client_addr(),
    application_name text        DEFAULT current_setting('application_name'),
    details          jsonb       NOT NULL DEFAULT '{}'
);

CREATE INDEX migration_lock_audit_instance_id ON "migrate_lock".migration_lock_audit (instance_id);

CREATE FUNCTION "migrate_lock".refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RAISE EXCEPTION 'migration_lock_audit is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".refuse_audit_change() FROM PUBLIC;

CREATE TRIGGER migration_lock_audit_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON "migrate_lock".migration_lock_audit
    FOR EACH STATEMENT EXECUTE FUNCTION "migrate_lock".refuse_audit_change();
