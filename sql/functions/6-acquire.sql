-- One attempt to acquire the lease. Answers {"outcome": "acquired", "lease": ..., "takeover": ...}, or
-- {"outcome": "held", "holder": ..., "orphans": ...}; holder is null while somebody else is just changing the row, orphans
-- tells what a takeover of an expired lease still waits for. p_takeover is the policy of settle_orphans(), and
-- {"respect": N}: the lease with token N is not taken over yet, as the caller's own clock says that it still runs.
-- With {"runKey": ...} in p_client it answers {"outcome": "settled", "run": ...} when the work of that key is done.
-- "retryAfterMs" in the answer: too many attempts came from there, and this one was none.
CREATE OR REPLACE FUNCTION "migrate_lock".acquire(
    p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb, p_takeover jsonb
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    seen     "migrate_lock".migration_lock;
    acquired "migrate_lock".migration_lock;
    takeover jsonb;
    orphans  jsonb;
    work     text   := p_client ->> 'runKey';
    memory   bigint := (p_client ->> 'failureMemoryMs')::bigint;
    settled  jsonb;
    retry    bigint;
    hash     text;
BEGIN
    PERFORM "migrate_lock".begin_change();

    retry := "migrate_lock".retry_after_ms(p_instance_id, p_ttl_ms, p_client);
    IF retry IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'held', 'holder', NULL, 'retryAfterMs', retry);
    END IF;

    settled := CASE WHEN work IS NOT NULL THEN "migrate_lock".settled_run(work, memory) END;
    IF settled IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'settled', 'run', settled);
    END IF;

    -- Look first: a refused ON CONFLICT DO UPDATE would lock the row and write WAL at every poll.
    SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1;
    IF FOUND THEN
        -- A lease that was released is over, even if the clock stepped back behind its end since.
        IF seen.released_at IS NULL AND seen.expires_at > clock_timestamp() THEN
            IF "migrate_lock".proves(seen, p_instance_id, p_secret) THEN
                -- The answer to an earlier attempt was lost: the lease is the caller's already. That attempt may have been cut
                -- short while it waited for a synchronous standby: the row lock makes this commit wait for it too.
                PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
                RETURN jsonb_build_object(
                    'outcome', 'acquired', 'lease', "migrate_lock".describe(seen), 'takeover', NULL,
                    'auditHash', "migrate_lock".hash_of('lock.acquired', p_instance_id));
            END IF;
            RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(seen));
        END IF;
        -- Nobody queues on the row: who finds it locked is not the next holder. NO KEY, as an assert_held transaction must
        -- not keep us from seeing to it.
        SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
        END IF;
        IF seen.released_at IS NULL AND (
               seen.expires_at > clock_timestamp() OR seen.fencing_token = (p_takeover ->> 'respect')::bigint) THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(seen));
        END IF;
        IF seen.released_at IS NULL THEN
            orphans := "migrate_lock".settle_orphans(seen, p_takeover);
            IF orphans IS NOT NULL THEN
                RETURN jsonb_build_object(
                    'outcome', 'held', 'holder', "migrate_lock".describe(seen), 'orphans', orphans);
            END IF;
            takeover := jsonb_build_object(
                'previousInstanceId', seen.instance_id,
                'expiredMs', "migrate_lock".ms_between(seen.expires_at, clock_timestamp()),
                'sessionsEnded', cardinality(seen.ended_pids));
        END IF;
        -- The upsert would pass an assert_held transaction by; this does not.
        PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
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
       AND (seen.id IS NULL OR seen.released_at IS NOT NULL
            OR NOT "migrate_lock".proves(seen, p_instance_id, p_secret)) THEN
        RAISE EXCEPTION 'the instance id % was used before', p_instance_id USING ERRCODE = 'unique_violation';
    END IF;

    INSERT INTO "migrate_lock".migration_lock AS lock
        (instance_id, locked_at, expires_at, secret_sha256, host, pid, db_role, command, run_key)
    VALUES (
        p_instance_id,
        clock_timestamp(),
        clock_timestamp() + p_ttl_ms * interval '1 millisecond',
        sha256(convert_to(p_secret, 'UTF8')),
        left(p_client ->> 'host', 255),
        (p_client ->> 'pid')::integer,
        session_user,
        left(p_client ->> 'command', 2000),
        p_client ->> 'runKey')
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
    IF NOT FOUND THEN
        RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
    END IF;

    IF seen.id IS NULL THEN
        -- The very first row: its times were computed before a wait for another first one that was then rolled back.
        UPDATE "migrate_lock".migration_lock
           SET locked_at = clock_timestamp(), expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond'
         WHERE id = 1
        RETURNING * INTO acquired;
        IF "migrate_lock".settled_run(work, memory) IS NOT NULL THEN
            RAISE EXCEPTION 'the work of the run key was done in this moment' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    IF takeover IS NOT NULL THEN
        hash := "migrate_lock".record_change('lock.takeover', p_instance_id, acquired.fencing_token, takeover);
        takeover := takeover || jsonb_build_object('auditHash', hash);
    END IF;
    hash := "migrate_lock".record_change('lock.acquired', p_instance_id, acquired.fencing_token, jsonb_build_object(
        'ttlMs', p_ttl_ms, 'host', acquired.host, 'pid', acquired.pid, 'command', acquired.command,
        'runKey', acquired.run_key));
    RETURN jsonb_build_object(
        'outcome', 'acquired', 'lease', "migrate_lock".describe(acquired), 'takeover', takeover, 'auditHash', hash);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".acquire(text, text, bigint, jsonb, jsonb) FROM PUBLIC;

-- An instance id names one acquisition for ever: who could choose a used one could be taken for its first owner.
CREATE OR REPLACE FUNCTION "migrate_lock".was_used(p_instance_id text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT EXISTS (
        SELECT FROM "migrate_lock".migration_lock_audit
         WHERE instance_id = p_instance_id AND event = 'lock.acquired')
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".was_used(text) FROM PUBLIC;
