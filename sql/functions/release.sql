-- How a holder ends its lease. Only the holder can release it, and no lease is released while sessions of it are open. A release
-- whose answer was lost finds its own row. A holder that has lost its lease gets that answer, and the history has it once.

-- Answers one of
--   released          it was the caller's; "late": true when it had already run out
--   already_released  by the caller's earlier call whose answer was lost, or by a cleanup after it ran out
--   lost              another instance has or had it since, unlock() ended it, or the row is gone: nothing is changed
--   refused           the caller does not prove that the lease is its own: nothing is changed
--   orphans           sessions of the lease are still open; see settle_orphans(). Call again
-- p_by is holder or guard. p_exit_code, p_signal, p_reason and p_leftovers (processes) say how the command ended, where that is
-- known, and p_end what kind of end it was, as in store_end(): null where no command was started. p_recovered: what an earlier
-- end had left behind was recovered under this lease. With p_succeeded, the end of the work of the lease's run key is stored in
-- the same transaction, with p_work_exit_code and p_duration_ms.
CREATE OR REPLACE FUNCTION "migrate_lock".release(
    p_instance_id text, p_secret text, p_by text, p_orphans text, p_seen jsonb,
    p_exit_code integer, p_signal text, p_reason text, p_leftovers integer,
    p_end text, p_recovered boolean, p_succeeded boolean, p_work_exit_code integer, p_duration_ms bigint
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    secret   bytea := sha256(convert_to(p_secret, 'UTF8'));
    lease    "migrate_lock".migration_lock;
    may_lock boolean;
    past     record;
    loss     jsonb;
    orphans  jsonb;
    details  jsonb;
    moment   timestamptz;
BEGIN
    PERFORM "migrate_lock".begin_change(
        num_nulls(p_instance_id, p_secret, p_by, p_orphans), p_orphans, p_seen);  -- mark: release-needs
    IF p_by NOT IN ('holder', 'guard') OR p_exit_code NOT BETWEEN 0 AND 255 OR p_leftovers < 0
       OR octet_length(p_signal) > 500 OR octet_length(p_reason) > 500
       OR p_end NOT IN ('clean', 'signalled', 'deadline', 'killed', 'leftovers')
       OR (p_succeeded IS NOT NULL AND num_nulls(p_work_exit_code, p_duration_ms) > 0)
       OR p_work_exit_code NOT BETWEEN 0 AND 255 OR p_duration_ms NOT BETWEEN 0 AND 3155760000000 THEN
        PERFORM "migrate_lock".refuse('this is not how a command ends', 'Give codes up to 255, and texts up to 500 bytes.');
    END IF;

    -- Read first without a lock: a caller without proof locks nothing, so it cannot keep the holder waiting. Nor does a caller
    -- whose lease has a recorded end: nothing is left to write about it.
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    may_lock := "migrate_lock".proves(lease, p_instance_id, secret);
    IF may_lock IS NOT TRUE THEN
        SELECT was_holder AND NOT was_released AND NOT was_lost INTO may_lock FROM "migrate_lock".past(p_instance_id, secret);
    END IF;
    IF may_lock IS TRUE THEN
        -- NO KEY: a transaction that merely references the row does not hold up a release.
        SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
    END IF;

    IF lease.instance_id IS DISTINCT FROM p_instance_id THEN  -- mark: release-other
        loss := jsonb_build_object('holder', lease.instance_id, 'holderFencingToken', lease.fencing_token);
        lease.fencing_token := NULL;
    ELSIF "migrate_lock".proves(lease, p_instance_id, secret) IS NOT TRUE THEN  -- mark: release-unproven
        PERFORM "migrate_lock".record_refusal('release', 'lock.release_failed', p_instance_id, '{"reason": "wrong secret"}');
        RETURN jsonb_build_object('outcome', 'refused');
    ELSIF lease.released_by = 'unlock' THEN
        loss := '{"holder": null, "by": "unlock"}';
    END IF;
    IF loss IS NOT NULL OR lease.released_at IS NOT NULL THEN  -- mark: release-again
        SELECT * INTO past FROM "migrate_lock".past(p_instance_id, secret);
        IF past.was_released OR loss IS NULL THEN  -- mark: release-found
            RETURN jsonb_build_object('outcome', 'already_released', 'auditHash', past.released_hash);
        ELSIF NOT past.was_holder THEN
            PERFORM "migrate_lock".record_refusal(
                'release', 'lock.release_failed', p_instance_id, loss || '{"reason": "never held"}');
        ELSIF NOT past.was_lost THEN
            PERFORM "migrate_lock".record_change('lock.lost', p_instance_id, lease.fencing_token, loss);  -- mark: loss-recorded
        END IF;
        RETURN jsonb_build_object('outcome', 'lost', 'holder', loss -> 'holder');
    END IF;

    -- Killing a client does not stop the statement that its server process runs.
    orphans := "migrate_lock".settle_orphans(lease, p_orphans, p_seen);
    IF orphans IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'orphans') || orphans;
    END IF;

    moment  := clock_timestamp();
    details := jsonb_strip_nulls(jsonb_build_object(
        'exitCode', p_exit_code, 'signal', p_signal, 'reason', p_reason, 'leftovers', p_leftovers,
        'heldMs', "migrate_lock".ms_between(lease.locked_at, moment),
        'late', lease.expires_at <= moment));  -- mark: late
    IF lease.run_key IS NOT NULL AND p_succeeded IS NOT NULL THEN  -- mark: work-stored
        -- Only a failure can be there before.
        INSERT INTO "migrate_lock".migration_lock_run AS run
            (run_key, command_sha256, succeeded, exit_code, finished_at, duration_ms, instance_id, fencing_token, host, db_role,
             command)
        VALUES (
            lease.run_key, lease.command_sha256, p_succeeded, p_work_exit_code, clock_timestamp(), p_duration_ms,
            lease.instance_id, lease.fencing_token, lease.host, lease.db_role, lease.command)
        ON CONFLICT (run_key, command_sha256) DO UPDATE SET
            succeeded     = excluded.succeeded,
            exit_code     = excluded.exit_code,
            finished_at   = excluded.finished_at,
            duration_ms   = excluded.duration_ms,
            instance_id   = excluded.instance_id,
            fencing_token = excluded.fencing_token,
            host          = excluded.host,
            db_role       = excluded.db_role,
            command       = excluded.command;
    ELSE
        -- A release that a crash of the server loses costs the rest of the lease, and nothing else.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM "migrate_lock".store_end(lease, p_end, p_exit_code = 0, p_recovered);
    RETURN "migrate_lock".end_lease(lease, p_by, moment, details);
END
$body$;

-- Ends the lease at this moment, records it, and notifies the waiters. locked_at moves too if the clock has stepped back, so that
-- the end can be now all the same. Answers "released", with the details as they are recorded.
CREATE OR REPLACE FUNCTION "migrate_lock".end_lease(
    lease "migrate_lock".migration_lock, p_by text, p_moment timestamptz, p_details jsonb
) RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    hash text;
BEGIN
    UPDATE "migrate_lock".migration_lock
       SET released_at = p_moment,
           released_by = p_by,
           expires_at  = least(expires_at, p_moment),  -- mark: end-not-later
           locked_at   = least(locked_at, p_moment - interval '1 microsecond')  -- mark: end-after-step-back
     WHERE id = 1;
    p_details := p_details || jsonb_build_object('by', p_by);
    hash      := "migrate_lock".record_change('lock.released', lease.instance_id, lease.fencing_token, p_details);
    NOTIFY "migrate_lock";
    RETURN p_details || jsonb_build_object('outcome', 'released', 'auditHash', hash);
END
$body$;

-- Leaves the queue. A lease that an unanswered attempt may have brought is given back.
CREATE OR REPLACE FUNCTION "migrate_lock".leave(p_instance_id text, p_secret text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    secret bytea := sha256(convert_to(p_secret, 'UTF8'));
    lease  "migrate_lock".migration_lock;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_instance_id, p_secret));
    PERFORM "migrate_lock".forget_waiters(p_instance_id, secret);
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    IF lease.released_at IS NULL  -- mark: leave-unreleased
       AND "migrate_lock".proves(lease, p_instance_id, secret) IS TRUE THEN  -- mark: leave-own
        -- No command was started under it, so it has no sessions.
        RETURN "migrate_lock".release(
            p_instance_id, p_secret, 'holder', 'ignore', NULL, NULL, NULL, 'interrupted', NULL, NULL, NULL, NULL, NULL, NULL);
    END IF;
    RETURN jsonb_build_object('outcome', 'left');
END
$body$;
