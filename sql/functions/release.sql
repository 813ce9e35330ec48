-- Gives the lease back. Answers one of
--   released          it was the caller's; "late": true when it had already run out
--   already_released  by the caller's earlier call whose answer was lost, or by a cleanup after it ran out
--   lost              another instance has or had it since, unlock() ended it, or the row is gone: nothing is changed
--   refused           the caller does not prove that the lease is its own: nothing is changed
--   orphans           sessions of the lease are still open: settle_orphans() has seen to them, call again
-- p_by is holder or guard. p_details says how the command ended: exitCode, signal, reason, leftovers. With p_succeeded, the end
-- of the work of the lease's run key is stored in the same transaction.
CREATE OR REPLACE FUNCTION "migrate_lock".release(
    p_instance_id text, p_secret text, p_by text, p_orphans text, p_seen jsonb, p_details jsonb,
    p_succeeded boolean, p_exit_code integer, p_duration_ms bigint
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease   "migrate_lock".migration_lock;
    moment  timestamptz;
    orphans jsonb;
    details jsonb;
    hash    text;
BEGIN
    PERFORM "migrate_lock".require(num_nulls(p_instance_id, p_secret, p_by, p_orphans, p_details));
    PERFORM "migrate_lock".check_orphans(p_orphans, p_seen);
    PERFORM "migrate_lock".check_end(p_by, p_details, p_succeeded, p_exit_code, p_duration_ms);
    PERFORM "migrate_lock".begin_change();

    -- First without a lock: who proves nothing locks nothing, and cannot keep the holder waiting.
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    -- Nor does who had a lease whose end is known already: nothing is left to write about it.
    IF "migrate_lock".proves(lease, p_instance_id, p_secret) IS TRUE
       OR ("migrate_lock".was_holder(p_instance_id, p_secret) IS TRUE
           AND NOT "migrate_lock".was_released(p_instance_id) AND NOT "migrate_lock".was_lost(p_instance_id)) THEN
        -- NO KEY: a transaction that merely references the row does not hold up a release.
        SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    END IF;

    IF lease.instance_id IS DISTINCT FROM p_instance_id THEN
        IF "migrate_lock".was_released(p_instance_id) THEN
            RETURN jsonb_build_object(
                'outcome', 'already_released', 'auditHash', "migrate_lock".hash_of('lock.released', p_instance_id));
        END IF;
        PERFORM "migrate_lock".record_loss(p_instance_id, p_secret, NULL,
            jsonb_build_object('holder', lease.instance_id, 'holderFencingToken', lease.fencing_token));
        RETURN jsonb_build_object('outcome', 'lost', 'holder', lease.instance_id);
    END IF;
    IF "migrate_lock".proves(lease, p_instance_id, p_secret) IS NOT TRUE THEN
        PERFORM "migrate_lock".record_refusal('release', 'lock.release_failed', p_instance_id, '{"reason": "wrong secret"}');
        RETURN jsonb_build_object('outcome', 'refused');
    END IF;
    IF lease.released_by = 'unlock' THEN
        PERFORM "migrate_lock".record_loss(
            p_instance_id, p_secret, lease.fencing_token, '{"holder": null, "by": "unlock"}');
        RETURN jsonb_build_object('outcome', 'lost', 'holder', NULL);
    END IF;
    IF lease.released_at IS NOT NULL THEN
        RETURN jsonb_build_object(
            'outcome', 'already_released', 'auditHash', "migrate_lock".hash_of('lock.released', p_instance_id));
    END IF;

    -- Killing a client does not stop the statement that its server process runs.
    orphans := "migrate_lock".settle_orphans(lease, p_orphans, p_seen);
    IF orphans IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'orphans') || orphans;
    END IF;

    moment := clock_timestamp();
    details := p_details || jsonb_build_object(
        'by', p_by,
        'heldMs', "migrate_lock".ms_between(lease.locked_at, moment),
        'late', lease.expires_at <= moment);
    PERFORM "migrate_lock".end_lease(p_by, moment);
    IF lease.run_key IS NOT NULL AND p_succeeded IS NOT NULL THEN
        PERFORM "migrate_lock".settle_run(lease, p_succeeded, p_exit_code, p_duration_ms);
    ELSE
        -- A release that a crash of the server loses costs the rest of the lease, and nothing else.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    hash := "migrate_lock".record_change('lock.released', p_instance_id, lease.fencing_token, details);
    NOTIFY "migrate_lock";
    RETURN jsonb_build_object('outcome', 'released', 'auditHash', hash) || details;
END
$body$;

-- Refuses details that are not those of an end: only known keys, each a short scalar.
CREATE OR REPLACE FUNCTION "migrate_lock".check_end(
    p_by text, p_details jsonb, p_succeeded boolean, p_exit_code integer, p_duration_ms bigint
) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF p_by NOT IN ('holder', 'guard') OR jsonb_typeof(p_details) <> 'object' OR octet_length(p_details::text) > 1000
       OR p_details - ARRAY ['exitCode', 'signal', 'reason', 'leftovers'] <> '{}'
       OR EXISTS (SELECT FROM jsonb_each(p_details) WHERE jsonb_typeof(value) NOT IN ('number', 'string', 'null'))
       OR (p_succeeded IS NOT NULL AND num_nulls(p_exit_code, p_duration_ms) > 0)
       OR p_exit_code NOT BETWEEN 0 AND 255 OR p_duration_ms NOT BETWEEN 0 AND 3155760000000 THEN
        PERFORM "migrate_lock".refuse(
            'the details of the release are not known', 'Give exitCode, signal, reason and leftovers, in 1000 bytes.');
    END IF;
END
$body$;

-- Ends the lease at this moment. locked_at moves too if the clock has stepped back, so that the end can be now all the same.
CREATE OR REPLACE FUNCTION "migrate_lock".end_lease(p_by text, p_moment timestamptz) RETURNS void
    LANGUAGE sql
AS $body$
    UPDATE "migrate_lock".migration_lock
       SET released_at = p_moment,
           released_by = p_by,
           expires_at  = least(expires_at, p_moment),
           locked_at   = least(locked_at, p_moment - interval '1 microsecond')
     WHERE id = 1
$body$;

-- Whether the caller's own release, or a cleanup after its end, did it. A lease that unlock() ended was lost.
CREATE OR REPLACE FUNCTION "migrate_lock".was_released(p_instance_id text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT EXISTS (
        SELECT FROM "migrate_lock".migration_lock_audit
         WHERE instance_id = p_instance_id AND event = 'lock.released' AND details ->> 'by' IS DISTINCT FROM 'unlock')
$body$;

-- Whether the history says already that this holder has lost its lease.
CREATE OR REPLACE FUNCTION "migrate_lock".was_lost(p_instance_id text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT EXISTS (
        SELECT FROM "migrate_lock".migration_lock_audit WHERE instance_id = p_instance_id AND event = 'lock.lost')
$body$;

-- Records once that a holder has lost its lease. From a caller that was not the holder it is a refused attempt.
CREATE OR REPLACE FUNCTION "migrate_lock".record_loss(
    p_instance_id text, p_secret text, p_fencing_token bigint, p_details jsonb
) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF "migrate_lock".was_holder(p_instance_id, p_secret) IS NOT TRUE THEN
        PERFORM "migrate_lock".record_refusal('release', 'lock.release_failed', p_instance_id,
            p_details || '{"reason": "never held"}');
    ELSIF NOT "migrate_lock".was_lost(p_instance_id) THEN
        PERFORM "migrate_lock".record_change('lock.lost', p_instance_id, p_fencing_token, p_details);
    END IF;
END
$body$;

-- Leaves the queue. A lease that an unanswered attempt may have brought is given back.
CREATE OR REPLACE FUNCTION "migrate_lock".leave(p_instance_id text, p_secret text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease "migrate_lock".migration_lock;
BEGIN
    PERFORM "migrate_lock".require(num_nulls(p_instance_id, p_secret));
    PERFORM "migrate_lock".begin_change();
    PERFORM "migrate_lock".forget_waiters(p_instance_id, p_secret);
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    IF lease.released_at IS NULL AND "migrate_lock".proves(lease, p_instance_id, p_secret) IS TRUE THEN
        -- No command was started under it, so it has no sessions.
        RETURN "migrate_lock".release(
            p_instance_id, p_secret, 'holder', 'ignore', NULL, '{"reason": "interrupted"}', NULL, NULL, NULL);
    END IF;
    RETURN jsonb_build_object('outcome', 'left');
END
$body$;
