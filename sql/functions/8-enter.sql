-- The first poll of a program, and its look at the lock schema in the same round trip. p_program is the schema version that
-- the program was built for; a schema that is too old or too new for it gets a look alone.
CREATE OR REPLACE FUNCTION "migrate_lock".enter(
    p_program integer, p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb, p_takeover jsonb,
    p_poll_interval_ms bigint, p_last boolean
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    schema jsonb := "migrate_lock".version();
BEGIN
    IF (schema ->> 'version')::integer < p_program OR (schema ->> 'oldestProgram')::integer > p_program THEN
        RETURN schema || '{"outcome": "schema"}';
    END IF;
    RETURN schema || "migrate_lock".poll(
        p_instance_id, p_secret, p_ttl_ms, p_client, p_takeover, p_poll_interval_ms, p_last);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".enter(integer, text, text, bigint, jsonb, jsonb, bigint, boolean) FROM PUBLIC;
