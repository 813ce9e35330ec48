-- Break glass: a person ends somebody else's lease, without its secret. Whoever may execute this may do that. Answers one of
--   free      nobody holds the lock: nothing is changed
--   refused   the holder is another one than named ("reason": "holder"), or the lease still runs and p_force is not
--             given ("live"): nothing is changed
--   orphans   sessions of the lease are still at work: settle_orphans() has seen to them, call again
--   released  with "sessionsLeft", the process ids of those that are still at work, when p_policy, which is that of
--             settle_orphans(), has {"leave": true} too
-- The holder's own release then finds its lease lost.
CREATE OR REPLACE FUNCTION "migrate_lock".unlock(p_instance_id text, p_force boolean, p_policy jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease   "migrate_lock".migration_lock;
    reason  text;
    orphans jsonb;
    moment  timestamptz;
    ended   integer;
    details jsonb;
BEGIN
    PERFORM "migrate_lock".begin_change();
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    IF lease.id IS NULL OR lease.released_at IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'free');
    END IF;

    reason := CASE
        WHEN lease.instance_id IS DISTINCT FROM p_instance_id THEN 'holder'
        WHEN lease.expires_at > clock_timestamp() AND p_force IS NOT TRUE THEN 'live'
    END;
    IF reason IS NOT NULL THEN
        PERFORM "migrate_lock".record_refusal('unlock', 'lock.unlock_refused', p_instance_id, jsonb_build_object(
            'reason', reason, 'holder', lease.instance_id, 'holderFencingToken', lease.fencing_token));
        RETURN jsonb_build_object('outcome', 'refused', 'reason', reason, 'holder', "migrate_lock".describe(lease));
    END IF;

    orphans := "migrate_lock".settle_orphans(lease, p_policy);
    IF orphans IS NOT NULL AND (p_policy ->> 'leave')::boolean IS NOT TRUE THEN
        RETURN jsonb_build_object('outcome', 'orphans') || orphans;
    END IF;

    moment := clock_timestamp();
    -- As in release().
    UPDATE "migrate_lock".migration_lock
       SET released_at = moment,
           released_by = 'unlock',
           expires_at  = least(expires_at, moment),
           locked_at   = least(locked_at, moment - interval '1 microsecond')
     WHERE id = 1
    RETURNING cardinality(ended_pids) INTO ended;
    details := jsonb_build_object(
        'by', 'unlock',
        'heldMs', "migrate_lock".ms_between(lease.locked_at, moment),
        'late', lease.expires_at <= moment,
        'sessionsEnded', ended,
        'sessionsLeft', coalesce(jsonb_path_query_array(orphans, '$.sessions[*].pid'), '[]'));
    PERFORM "migrate_lock".record_change('lock.released', p_instance_id, lease.fencing_token, details);
    NOTIFY "migrate_lock";
    RETURN jsonb_build_object('outcome', 'released') || details;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".unlock(text, boolean, jsonb) FROM PUBLIC;
