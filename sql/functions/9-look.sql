-- Between two polls, a waiter with a run key asks whether there is anything left to do: one read, unless there is not.
CREATE OR REPLACE FUNCTION "migrate_lock".look(p_instance_id text, p_run_key text, p_failure_memory_ms bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    settled jsonb := "migrate_lock".settled_run(p_run_key, p_failure_memory_ms);
BEGIN
    IF settled IS NULL THEN
        RETURN '{"outcome": "open"}';
    END IF;
    PERFORM "migrate_lock".forget_waiters(p_instance_id);
    RETURN jsonb_build_object('outcome', 'settled', 'run', settled);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".look(text, text, bigint) FROM PUBLIC;
