-- The first poll of a program, and its look at the lock schema in the same round trip. p_program is the schema version that
-- the program was built for; a schema that is too old or too new for it gets a look alone.
CREATE OR REPLACE FUNCTION "migrate_lock".enter(
    p_program integer, p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb, p_takeover jsonb,
    p_poll_interval_ms bigint, p_last boolean
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    is_usable boolean;
BEGIN
    SELECT version >= p_program AND oldest_program <= p_program INTO is_usable FROM "migrate_lock".migration_lock_version;
    IF is_usable THEN
        RETURN jsonb_build_object('backendPid', pg_backend_pid()) || "migrate_lock".poll(
            p_instance_id, p_secret, p_ttl_ms, p_client, p_takeover, p_poll_interval_ms, p_last);
    END IF;
    RETURN "migrate_lock".version() || '{"outcome": "schema"}';
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".enter(integer, text, text, bigint, jsonb, jsonb, bigint, boolean) FROM PUBLIC;
