-- Between two polls, a waiter with a run key asks whether its work is still to be done, and whether it could try: one read.
CREATE OR REPLACE FUNCTION "migrate_lock".look(p_run_key text, p_failure_memory_ms bigint) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object(
        'run', "migrate_lock".settled_run(p_run_key, p_failure_memory_ms),
        'isHeld', EXISTS (
            SELECT FROM "migrate_lock".migration_lock
             WHERE id = 1 AND released_at IS NULL AND expires_at > clock_timestamp()))
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".look(text, bigint) FROM PUBLIC;
