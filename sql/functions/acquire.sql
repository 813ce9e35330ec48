-- The statement that gives the lock away, and the looks before it. poll() calls this. Answers one of
--   acquired  with "lease" and "takeover"
--   held      with "holder": null while another transaction changes the row; and with "orphans": what a takeover of an
--             expired lease waits for
--   settled   with "run": the work of the run key is done
-- The lease with the token p_respect is not taken over yet: by the caller's own clock it still runs. p_orphans and p_seen are
-- those of settle_orphans().
CREATE OR REPLACE FUNCTION "migrate_lock".acquire(
    p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb, p_command_sha256 text,
    p_run_key text, p_failure_memory_ms bigint, p_respect bigint, p_orphans text, p_seen jsonb
) RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    -- Everything that a caller controls is read here, before a row is locked: an error names it, and takes time to send.
    new_host      text    := left(p_client ->> 'host', 255);
    new_command   text    := left(p_client ->> 'command', 2000);
    new_pid       integer := CASE WHEN p_client ->> 'pid' ~ '^[0-9]{1,9}$' THEN (p_client ->> 'pid')::integer END;
    ttl           interval := p_ttl_ms * interval '1 millisecond';
    seen          "migrate_lock".migration_lock;
    acquired      "migrate_lock".migration_lock;
    is_first      boolean;
    expired_token bigint;
    orphans       jsonb;
    takeover      jsonb;
    settled       jsonb := "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms);
    hash          text;
BEGIN
    IF settled IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'settled', 'run', settled);
    END IF;

    -- A plain read first: a refused ON CONFLICT DO UPDATE would lock the row and write WAL at every poll.
    SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1;
    is_first := NOT FOUND;
    -- A released lease is over, also if the clock has stepped back behind its end.
    IF seen.released_at IS NULL AND seen.expires_at > clock_timestamp() THEN
        IF "migrate_lock".proves(seen, p_instance_id, p_secret) IS TRUE THEN
            -- The answer to an earlier attempt was lost. That attempt may have been cut short while it waited for a
            -- synchronous standby: with the row lock this commit waits for it too.
            PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
            RETURN jsonb_build_object(
                'outcome', 'acquired', 'lease', "migrate_lock".describe(seen), 'takeover', NULL,
                'auditHash', "migrate_lock".hash_of('lock.acquired', p_instance_id));
        END IF;
        RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(seen));
    END IF;

    IF NOT is_first AND seen.released_at IS NULL THEN
        -- An expired lease: its sessions have to end first. Nobody queues on the row. NO KEY: an assert_held() transaction
        -- is one of these sessions, and must not keep us from ending it.
        SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
        END IF;
        IF seen.released_at IS NULL AND (seen.expires_at > clock_timestamp() OR seen.fencing_token = p_respect) THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(seen));
        END IF;
        IF seen.released_at IS NULL THEN
            orphans := "migrate_lock".settle_orphans(seen, p_orphans, p_seen);
            IF orphans IS NOT NULL THEN
                RETURN jsonb_build_object(
                    'outcome', 'held', 'holder', "migrate_lock".describe(seen), 'orphans', orphans);
            END IF;
            expired_token := seen.fencing_token;
        END IF;
    END IF;

    IF NOT is_first THEN
        -- The upsert below would pass an assert_held() transaction by; this does not.
        SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
        END IF;
        IF seen.released_at IS NULL AND seen.fencing_token IS DISTINCT FROM expired_token THEN
            -- Another one was quicker.
            RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(seen));
        END IF;
        -- While the row is locked nobody can settle the work any more.
        settled := "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms);
        IF settled IS NOT NULL THEN
            RETURN jsonb_build_object('outcome', 'settled', 'run', settled);
        END IF;
        IF seen.released_at IS NULL THEN
            takeover := jsonb_build_object(
                'previousInstanceId', seen.instance_id,
                'expiredMs', "migrate_lock".ms_between(seen.expires_at, clock_timestamp()),
                'sessionsEnded', cardinality(seen.ended_pids));
        END IF;
    END IF;

    -- Only its own lease that ran out before its answer came is acquired again. After a release the same call is one that was
    -- delayed on its way, and nobody would use what it brings.
    IF "migrate_lock".was_used(p_instance_id) AND (
           is_first OR seen.released_at IS NOT NULL
           OR "migrate_lock".proves(seen, p_instance_id, p_secret) IS NOT TRUE) THEN
        RAISE EXCEPTION 'the instance id was used before' USING ERRCODE = 'unique_violation';
    END IF;

    INSERT INTO "migrate_lock".migration_lock AS lock
        (instance_id, locked_at, expires_at, secret_sha256, host, pid, db_role, command, command_sha256, run_key)
    VALUES (
        p_instance_id, clock_timestamp(), clock_timestamp() + ttl, "migrate_lock".digest(p_secret),
        new_host, new_pid, session_user, new_command, p_command_sha256, p_run_key)
    ON CONFLICT (id) DO UPDATE SET
        instance_id    = excluded.instance_id,
        -- Not excluded's: those were computed before a wait for the row, the lease starts after it.
        locked_at      = clock_timestamp(),
        expires_at     = clock_timestamp() + ttl,
        released_at    = NULL,
        released_by    = NULL,
        fencing_token  = excluded.fencing_token,  -- the one token that this statement took
        secret_sha256  = excluded.secret_sha256,
        host           = excluded.host,
        pid            = excluded.pid,
        db_role        = excluded.db_role,
        command        = excluded.command,
        command_sha256 = excluded.command_sha256,
        run_key        = excluded.run_key,
        ended_pids     = '{}'
    WHERE lock.expires_at <= clock_timestamp() OR lock.released_at IS NOT NULL
    RETURNING * INTO acquired;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
    END IF;
    IF is_first THEN
        -- The very first row: its times were computed before a wait for another first one that was then rolled back.
        UPDATE "migrate_lock".migration_lock SET locked_at = clock_timestamp(), expires_at = clock_timestamp() + ttl
         WHERE id = 1
        RETURNING * INTO acquired;
        IF "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms) IS NOT NULL THEN
            RAISE EXCEPTION 'the work of the run key was done in this moment' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    IF takeover IS NOT NULL THEN
        hash := "migrate_lock".record_change('lock.takeover', p_instance_id, acquired.fencing_token, takeover);
        takeover := takeover || jsonb_build_object('auditHash', hash);
    END IF;
    hash := "migrate_lock".record_change(
        'lock.acquired', p_instance_id, acquired.fencing_token,
        jsonb_build_object(
            'ttlMs', p_ttl_ms, 'host', acquired.host, 'pid', acquired.pid, 'command', acquired.command,
            'runKey', acquired.run_key),
        acquired.secret_sha256);
    RETURN jsonb_build_object(
        'outcome', 'acquired', 'lease', "migrate_lock".describe(acquired), 'takeover', takeover, 'auditHash', hash,
        'connectionsLeft', "migrate_lock".connections_left(),
        'otherCommand', "migrate_lock".other_command(p_run_key, p_command_sha256));
END
$body$;
