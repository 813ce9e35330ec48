-- Moves the lease's end to the later of its old end and now + ttl. Only for its holder, and only while it is held. Answers
-- extended, or refused.
CREATE OR REPLACE FUNCTION "migrate_lock".extend(p_instance_id text, p_secret text, p_ttl_ms bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease "migrate_lock".migration_lock;
    hash  text;
BEGIN
    PERFORM "migrate_lock".require(num_nulls(p_instance_id, p_secret, p_ttl_ms));
    PERFORM "migrate_lock".check_ttl(p_ttl_ms);
    PERFORM "migrate_lock".begin_change();
    UPDATE "migrate_lock".migration_lock AS held
       SET expires_at = greatest(held.expires_at, clock_timestamp() + p_ttl_ms * interval '1 millisecond')
     WHERE held.id = 1
       AND "migrate_lock".proves(held, p_instance_id, p_secret)
       AND held.released_at IS NULL
       AND held.expires_at > clock_timestamp()
    RETURNING * INTO lease;
    IF NOT FOUND THEN
        PERFORM "migrate_lock".record_refusal(
            'extend', 'lease.extend_refused', p_instance_id, jsonb_build_object('ttlMs', p_ttl_ms));
        RETURN jsonb_build_object('outcome', 'refused');
    END IF;
    hash := "migrate_lock".record_change('lease.extended', p_instance_id, lease.fencing_token, jsonb_build_object(
        'ttlMs', p_ttl_ms, 'expiresAtMs', "migrate_lock".epoch_ms(lease.expires_at)));
    RETURN jsonb_build_object('outcome', 'extended', 'lease', "migrate_lock".describe(lease), 'auditHash', hash);
END
$body$;
