-- Writes one row of history, in the transaction of the caller.
CREATE OR REPLACE FUNCTION "migrate_lock".record(
    p_event text, p_instance_id text, p_fencing_token bigint, p_details jsonb
) RETURNS void
    LANGUAGE sql
AS $body$
    INSERT INTO "migrate_lock".migration_lock_audit (event, instance_id, fencing_token, details)
    VALUES (p_event, p_instance_id, p_fencing_token, coalesce(p_details, '{}'))
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".record(text, text, bigint, jsonb) FROM PUBLIC;
