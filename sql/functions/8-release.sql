-- Gives the lease back. Answers one of
--   released          it was the caller's; "late": true when it had already run out
--   already_released  by the caller's earlier call whose answer was lost, or by a cleanup after it ran out
--   lost              somebody else has or had it meanwhile, unlock() ended it, or the row is gone: nothing is changed
--   refused           the secret is wrong: nothing is changed
--   orphans           sessions of the lease are still at work: settle_orphans() has seen to them, call again
-- released and lost leave their row in the history once, refused at most once a second. p_policy is that of settle_orphans().
-- With {"run": ...} in p_details, how the work of the lease's run key ended is stored in the same transaction.
-- Without an instance id (NULL) it is a rehearsal, as in acquire_free(): nothing is read of the lock, and nothing changed.
CREATE OR REPLACE FUNCTION "migrate_lock".release(
    p_instance_id text, p_secret text, p_policy jsonb, p_details jsonb
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
    PERFORM "migrate_lock".begin_change();

    -- NO KEY: a transaction that merely references the row does not hold up a release.
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 AND p_instance_id IS NOT NULL FOR NO KEY UPDATE;

    IF lease.instance_id IS DISTINCT FROM p_instance_id THEN
        IF "migrate_lock".was_released(p_instance_id) THEN
            RETURN jsonb_build_object(
                'outcome', 'already_released', 'auditHash', "migrate_lock".hash_of('lock.released', p_instance_id));
        END IF;
        PERFORM "migrate_lock".record_loss(p_instance_id, NULL,
            jsonb_build_object('holder', lease.instance_id, 'holderFencingToken', lease.fencing_token));
        RETURN jsonb_build_object('outcome', 'lost', 'holder', lease.instance_id);
    END IF;

    IF NOT "migrate_lock".proves(lease, p_instance_id, p_secret) THEN
        PERFORM "migrate_lock".record_refusal('release', 'lock.release_failed', p_instance_id,
            jsonb_build_object('reason', 'wrong secret'));
        RETURN jsonb_build_object('outcome', 'refused');
    END IF;

    IF lease.released_at IS NOT NULL THEN
        IF lease.released_by = 'unlock' THEN
            PERFORM "migrate_lock".record_loss(p_instance_id, lease.fencing_token,
                jsonb_build_object('holder', NULL, 'by', 'unlock'));
            RETURN jsonb_build_object('outcome', 'lost', 'holder', NULL);
        END IF;
        RETURN jsonb_build_object(
            'outcome', 'already_released', 'auditHash', "migrate_lock".hash_of('lock.released', p_instance_id));
    END IF;

    -- Killing a client does not stop the statement that its server process runs.
    orphans := "migrate_lock".settle_orphans(lease, p_policy);
    IF orphans IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'orphans') || orphans;
    END IF;

    moment := clock_timestamp();
    details := coalesce(p_details, '{}') || jsonb_build_object(
        'heldMs', "migrate_lock".ms_between(lease.locked_at, moment),
        'late', lease.expires_at <= moment);
    -- locked_at moves too if the clock stepped back since, so that expires_at can be this moment all the same.
    UPDATE "migrate_lock".migration_lock
       SET released_at = moment,
           released_by = coalesce(p_details ->> 'by', 'holder'),
           expires_at  = least(expires_at, moment),
           locked_at   = least(locked_at, moment - interval '1 microsecond')
     WHERE id = 1 AND p_instance_id IS NOT NULL;
    IF lease.run_key IS NOT NULL AND p_details ? 'run' THEN
        PERFORM "migrate_lock".settle_run(lease, p_details -> 'run');
    ELSE
        -- A release that is lost in a crash of the server costs the rest of the lease, and nothing else.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    hash := "migrate_lock".record_change(
        CASE WHEN p_instance_id IS NOT NULL THEN 'lock.released' END, p_instance_id, lease.fencing_token, details);
    IF p_instance_id IS NULL THEN
        RETURN '{"outcome": "rehearsed"}';
    END IF;
    NOTIFY "migrate_lock";
    RETURN jsonb_build_object('outcome', 'released', 'auditHash', hash) || details;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".release(text, text, jsonb, jsonb) FROM PUBLIC;

-- Whether the caller's own release, or a cleanup after its end, did it. A lease that unlock() broke was lost.
CREATE OR REPLACE FUNCTION "migrate_lock".was_released(p_instance_id text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT EXISTS (
        SELECT FROM "migrate_lock".migration_lock_audit
         WHERE instance_id = p_instance_id AND event = 'lock.released' AND details ->> 'by' IS DISTINCT FROM 'unlock')
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".was_released(text) FROM PUBLIC;

-- A holder finds that its lease is not its own any more: that is told once. From anybody else it is a refused attempt.
CREATE OR REPLACE FUNCTION "migrate_lock".record_loss(p_instance_id text, p_fencing_token bigint, p_details jsonb)
    RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF NOT "migrate_lock".was_used(p_instance_id) THEN
        PERFORM "migrate_lock".record_refusal('release', 'lock.release_failed', p_instance_id,
            p_details || '{"reason": "never held"}');
    ELSIF NOT EXISTS (
        SELECT FROM "migrate_lock".migration_lock_audit WHERE instance_id = p_instance_id AND event = 'lock.lost') THEN
        PERFORM "migrate_lock".record('lock.lost', p_instance_id, p_fencing_token, p_details);
    END IF;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".record_loss(text, bigint, jsonb) FROM PUBLIC;

-- A waiter that was told to stop waiting takes itself out of the queue. What an attempt whose answer it did not wait for
-- may have brought, it gives back.
CREATE OR REPLACE FUNCTION "migrate_lock".leave(p_instance_id text, p_secret text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease "migrate_lock".migration_lock;
BEGIN
    PERFORM "migrate_lock".begin_change();
    PERFORM "migrate_lock".forget_waiters(p_instance_id);
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    IF lease.released_at IS NULL AND "migrate_lock".proves(lease, p_instance_id, p_secret) THEN
        -- No child was started under it, so nobody can be at work.
        RETURN "migrate_lock".release(
            p_instance_id, p_secret, '{"orphans": "ignore"}', '{"reason": "interrupted"}');
    END IF;
    RETURN jsonb_build_object('outcome', 'left');
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".leave(text, text) FROM PUBLIC;
