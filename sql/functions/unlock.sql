-- For the lock's owner alone: ends the lease of the instance that is named, without its secret. Answers one of
--   free      the lock is not held: nothing is changed
--   refused   the holder is another one than named ("reason": "holder"), or the lease still runs and p_force is not
--             given ("live"): nothing is changed
--   orphans   sessions of the lease are still open; see settle_orphans(). Call again
--   released  with "sessionsLeft", the process ids of those that are still open, when p_leave_sessions is given
-- The holder's own release then finds its lease lost.
CREATE OR REPLACE FUNCTION "migrate_lock".unlock(
    p_instance_id text, p_force boolean, p_leave_sessions boolean, p_orphans text, p_seen jsonb
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease   "migrate_lock".migration_lock;
    reason  text;
    orphans jsonb;
    moment  timestamptz;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_instance_id, p_force, p_leave_sessions, p_orphans), p_orphans, p_seen);
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    IF lease.id IS NULL OR lease.released_at IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'free');
    END IF;

    reason := CASE
        WHEN lease.instance_id IS DISTINCT FROM p_instance_id THEN 'holder'
        WHEN lease.expires_at > clock_timestamp() AND NOT p_force THEN 'live'
    END;
    IF reason IS NOT NULL THEN
        PERFORM "migrate_lock".record_refusal('unlock', 'lock.unlock_refused', p_instance_id, jsonb_build_object(
            'reason', reason, 'holder', lease.instance_id, 'holderFencingToken', lease.fencing_token));
        RETURN jsonb_build_object('outcome', 'refused', 'reason', reason, 'holder', "migrate_lock".describe(lease));
    END IF;

    orphans := "migrate_lock".settle_orphans(lease, p_orphans, p_seen);
    IF orphans IS NOT NULL AND NOT p_leave_sessions THEN
        RETURN jsonb_build_object('outcome', 'orphans') || orphans;
    END IF;

    moment := clock_timestamp();
    PERFORM "migrate_lock".store_end(lease, 'unlocked', false, false);
    RETURN "migrate_lock".end_lease(lease, 'unlock', moment, jsonb_build_object(
        'heldMs', "migrate_lock".ms_between(lease.locked_at, moment),
        'late', lease.expires_at <= moment,
        'sessionsEnded', (SELECT cardinality(ended_pids) FROM "migrate_lock".migration_lock WHERE id = 1),
        'sessionsLeft', coalesce(jsonb_path_query_array(orphans, '$.sessions[*].pid'), '[]')));
END
$body$;
