-- A change of the lock's row that none of our functions makes in this statement goes into the history by itself.
CREATE FUNCTION "migrate_lock".record_manipulation() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    RETURN NULL;  -- until the functions are in place
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".record_manipulation() FROM PUBLIC;

CREATE TRIGGER migration_lock_manipulated
    AFTER INSERT OR UPDATE OR DELETE ON "migrate_lock".migration_lock
    FOR EACH ROW
    WHEN (current_setting('migrate_lock.changed_by', true) IS DISTINCT FROM statement_timestamp()::text)
    EXECUTE FUNCTION "migrate_lock".record_manipulation();

CREATE TRIGGER migration_lock_truncated
    AFTER TRUNCATE ON "migrate_lock".migration_lock
    FOR EACH STATEMENT EXECUTE FUNCTION "migrate_lock".record_manipulation();
