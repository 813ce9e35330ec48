-- Acquires the lease that acquire() has seen to be over: there has been none yet (p_is_first), it was released, or it has run
-- out and its orphans are settled (p_expired_token is its token, p_takeover what is told of it). Answers as acquire() does.
--
-- Without an instance id (NULL) it is a rehearsal: every statement is run, on no row. PostgreSQL plans a statement when a
-- session runs it first, which takes longer than all the rest: a session that will acquire while others wait has done so then.
CREATE OR REPLACE FUNCTION "migrate_lock".acquire_free(
    p_is_first boolean, p_expired_token bigint, p_takeover jsonb,
    p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb
) RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    before_  "migrate_lock".migration_lock;
    acquired "migrate_lock".migration_lock;
    work     text   := p_client ->> 'runKey';
    memory   bigint := (p_client ->> 'failureMemoryMs')::bigint;
    settled  jsonb;
    hash     text;
BEGIN
    IF NOT p_is_first THEN
        -- Nobody queues on the row here either. The upsert would pass an assert_held transaction by; this does not.
        SELECT * INTO before_ FROM "migrate_lock".migration_lock
         WHERE id = 1 AND p_instance_id IS NOT NULL
           FOR UPDATE SKIP LOCKED;
        IF NOT FOUND AND p_instance_id IS NOT NULL THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
        END IF;
        IF before_.released_at IS NULL AND before_.fencing_token IS DISTINCT FROM p_expired_token THEN
            -- Somebody else was quicker.
            RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(before_));
        END IF;
        -- Nobody can settle it any more while the row is locked: what was stored was stored with the last release.
        settled := CASE WHEN work IS NOT NULL THEN "migrate_lock".settled_run(work, memory) END;
        IF settled IS NOT NULL THEN
            RETURN jsonb_build_object('outcome', 'settled', 'run', settled);
        END IF;
    END IF;

    -- Only a lease of its own that ran out before its answer came is acquired again. After a release the same call is one
    -- that was delayed on its way, and nobody would use what it brings.
    IF "migrate_lock".was_used(p_instance_id)
       AND (before_.id IS NULL OR before_.released_at IS NOT NULL
            OR NOT "migrate_lock".proves(before_, p_instance_id, p_secret)) THEN
        RAISE EXCEPTION 'the instance id % was used before', p_instance_id USING ERRCODE = 'unique_violation';
    END IF;

    INSERT INTO "migrate_lock".migration_lock AS lock
        (instance_id, locked_at, expires_at, secret_sha256, host, pid, db_role, command, run_key)
    SELECT
        p_instance_id,
        clock_timestamp(),
        clock_timestamp() + p_ttl_ms * interval '1 millisecond',
        sha256(convert_to(p_secret, 'UTF8')),
        left(p_client ->> 'host', 255),
        (p_client ->> 'pid')::integer,
        session_user,
        left(p_client ->> 'command', 2000),
        p_client ->> 'runKey'
     WHERE p_instance_id IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET
        instance_id   = excluded.instance_id,
        -- Not excluded's: those were computed before a wait for the row, the lease starts after it.
        locked_at     = clock_timestamp(),
        expires_at    = clock_timestamp() + p_ttl_ms * interval '1 millisecond',
        released_at   = NULL,
        released_by   = NULL,
        fencing_token = excluded.fencing_token,  -- the one token that this statement took
        secret_sha256 = excluded.secret_sha256,
        host          = excluded.host,
        pid           = excluded.pid,
        db_role       = excluded.db_role,
        command       = excluded.command,
        run_key       = excluded.run_key,
        ended_pids    = '{}'
    WHERE lock.expires_at <= clock_timestamp() OR lock.released_at IS NOT NULL
    RETURNING * INTO acquired;
    IF NOT FOUND AND p_instance_id IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
    END IF;

    IF p_is_first AND p_instance_id IS NOT NULL THEN
        -- The very first row: its times were computed before a wait for another first one that was then rolled back.
        UPDATE "migrate_lock".migration_lock
           SET locked_at = clock_timestamp(), expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond'
         WHERE id = 1
        RETURNING * INTO acquired;
        IF "migrate_lock".settled_run(work, memory) IS NOT NULL THEN
            RAISE EXCEPTION 'the work of the run key was done in this moment' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    IF p_takeover IS NOT NULL THEN
        hash := "migrate_lock".record_change('lock.takeover', p_instance_id, acquired.fencing_token, p_takeover);
        p_takeover := p_takeover || jsonb_build_object('auditHash', hash);
    END IF;
    hash := "migrate_lock".record_change(
        CASE WHEN p_instance_id IS NOT NULL THEN 'lock.acquired' END, p_instance_id, acquired.fencing_token,
        jsonb_build_object(
            'ttlMs', p_ttl_ms, 'host', acquired.host, 'pid', acquired.pid, 'command', acquired.command,
            'runKey', acquired.run_key));
    RETURN jsonb_build_object(
        'outcome', CASE WHEN p_instance_id IS NULL THEN 'rehearsed' ELSE 'acquired' END,
        'lease', "migrate_lock".describe(acquired), 'takeover', p_takeover, 'auditHash', hash);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".acquire_free(boolean, bigint, jsonb, text, text, bigint, jsonb) FROM PUBLIC;
