-- How an instance gets the lease. poll() is the one call of an instance that wants it. acquire(), below it, has the statement that
-- grants the lease: INSERT ... ON CONFLICT ... WHERE expires_at <= now. It promises that no lease is granted while another one is
-- held, that an expired lease is not taken over before its sessions have ended, and that each acquisition has a larger fencing
-- token than the one before.

-- Checks the request, counts it, tries to acquire, and otherwise announces the instance as a waiter. While the lock is held it
-- writes nothing but the announcement, and that rarely. Answers as acquire() does. A held answer also has what queue() returns, or
-- "retryAfterMs": too many attempts came from this client, this one was not made. Answers "schema", with what version() returns,
-- to a program of another version. The last attempt at the wait timeout (p_last) leaves the queue in the same call.
CREATE OR REPLACE FUNCTION "migrate_lock".poll(
    p_program integer, p_instance_id text, p_secret text, p_ttl_ms bigint, p_host text, p_pid integer, p_command text,
    p_command_sha256 text, p_run_key text, p_failure_memory_ms bigint, p_respect bigint, p_orphans text, p_seen jsonb,
    p_poll_interval_ms bigint, p_last boolean, p_listens boolean
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    secret     bytea := sha256(convert_to(p_secret, 'UTF8'));
    caller     record;  -- the limits and the counters of its role and address
    position_  bigint;
    ahead_us   bigint;
    charges    boolean;  -- this attempt is the one that charges its client
    retry_ms   bigint;
    left_      bigint;
    answer     jsonb;
BEGIN
    PERFORM "migrate_lock".begin_change(
        num_nulls(p_program, p_instance_id, p_secret, p_ttl_ms, p_orphans, p_poll_interval_ms), p_orphans, p_seen);
    SELECT version.version >= p_program AND version.oldest_program <= p_program AS is_ours,
           least(setting.max_ttl_ms, 2147483647) AS longest_ms, coalesce(setting.attempts_per_second, 200) AS rate,
           role.attempts, client.next_at, client.counted_at, clock_timestamp() AS moment
      INTO caller
      FROM "migrate_lock".migration_lock_version AS version
      LEFT JOIN "migrate_lock".migration_lock_setting AS setting ON true
      LEFT JOIN "migrate_lock".migration_lock_role AS role
        ON role.role = to_regrole(quote_ident(session_user))
        OR (role.role = 0 AND pg_has_role(session_user, current_user, 'MEMBER'))
      LEFT JOIN "migrate_lock".migration_lock_client AS client
        ON client.kind = 'attempt' AND client.db_role = session_user::text
       AND client.address = coalesce(host(inet_client_addr()), '')
     ORDER BY role.role DESC NULLS LAST
     LIMIT 1;
    IF caller.is_ours IS NOT TRUE THEN
        RETURN "migrate_lock".version() || '{"outcome": "schema"}';
    ELSIF p_ttl_ms NOT BETWEEN 1 AND caller.longest_ms THEN
        PERFORM "migrate_lock".refuse_ttl(p_ttl_ms, caller.longest_ms);
    ELSIF octet_length(p_instance_id) NOT BETWEEN 1 AND 200 OR octet_length(p_secret) NOT BETWEEN 1 AND 200 THEN
        PERFORM "migrate_lock".refuse(
            'the instance id or the secret is empty or longer than 200 bytes', 'Give ones that were never used before.');
    ELSIF octet_length(p_host) > 100000 OR octet_length(p_command) > 100000 THEN
        PERFORM "migrate_lock".refuse('the host or the command is longer than 100000 bytes', 'Give the beginning of it.');
    ELSIF octet_length(p_run_key) NOT BETWEEN 1 AND 2600 OR octet_length(p_command_sha256) > 64
          OR (p_run_key IS NOT NULL AND p_command_sha256 IS NULL) THEN
        -- What is stored under an index has to fit into it.
        PERFORM "migrate_lock".refuse(
            'the run key is empty or longer than 2600 bytes, or comes without the SHA-256 of its command',
            'Give a shorter key: a name or a digest of the work is enough.');
    ELSIF p_poll_interval_ms NOT BETWEEN 1 AND 2147483647 OR p_failure_memory_ms NOT BETWEEN 0 AND 3155760000000 THEN
        PERFORM "migrate_lock".refuse('a duration is negative or too long', 'Give a number of milliseconds.');
    ELSIF caller.attempts IS NULL THEN
        PERFORM "migrate_lock".refuse_member();
    END IF;
    p_host    := left(p_host, 255);
    p_command := left(p_command, 2000);

    position_ := nextval(caller.attempts);
    ahead_us  := position_ - extract(epoch FROM caller.moment) * 1000000;
    -- Usually that counts the attempt; only every N-th one also charges the client.
    charges   := position_ / greatest(1, 100000 / caller.rate) % caller.rate = 0;  -- the divisor is the sequence's increment
    IF charges OR ahead_us NOT BETWEEN -10000000 AND 9999999
       OR caller.next_at > caller.moment + interval '10 seconds' THEN
        retry_ms := "migrate_lock".charge_client(
            caller.attempts, caller.rate, position_, charges, ahead_us, caller.moment, caller.next_at, caller.counted_at);
    END IF;
    IF retry_ms IS NOT NULL THEN
        RETURN jsonb_build_object(
            'outcome', 'held', 'holder', NULL, 'queueLength', 0, 'retryAfterMs', retry_ms);
    END IF;

    answer := "migrate_lock".acquire(
        p_instance_id, secret, p_ttl_ms, p_host, p_pid, p_command, p_command_sha256, p_run_key, p_failure_memory_ms, p_respect,
        p_orphans, p_seen);
    -- How many more connections the caller's role can make here: the least of what the server, the database and the role allow.
    SELECT least(
               current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
                   - coalesce(current_setting('reserved_connections', true)::integer, 0) - connections.all_,
               CASE WHEN NOT role.rolsuper AND role.rolconnlimit >= 0 THEN role.rolconnlimit - connections.of_role END,
               CASE WHEN NOT role.rolsuper AND here.datconnlimit >= 0 THEN here.datconnlimit - connections.here END) INTO left_
      FROM pg_roles AS role, pg_database AS here, LATERAL (
           SELECT count(*) AS all_, count(*) FILTER (WHERE usesysid = role.oid) AS of_role,
                  count(*) FILTER (WHERE datid = here.oid) AS here
             FROM pg_stat_get_activity(NULL) WHERE usesysid IS NOT NULL) AS connections
     WHERE role.rolname = session_user AND here.datname = current_database();
    answer := answer || jsonb_build_object('connectionsLeft', left_);
    IF answer ->> 'outcome' = 'held' THEN
        RETURN answer || "migrate_lock".queue(
            p_instance_id, secret, p_host, p_pid, p_command, p_command_sha256, p_run_key, p_poll_interval_ms, p_last IS TRUE,
            p_listens IS TRUE, left_, answer -> 'holder');
    END IF;
    -- An instance that acquires at once is not in the queue, and mostly the queue is empty.
    IF EXISTS (SELECT FROM "migrate_lock".migration_lock_waiter) THEN
        PERFORM "migrate_lock".forget_waiters(p_instance_id, secret);
    END IF;
    IF p_listens IS TRUE THEN
        -- A holder needs no notification.
        UNLISTEN "migrate_lock";
    END IF;
    RETURN answer;
END
$body$;

-- Answers one of
--   acquired  with "lease", "takeover" and "previousEnd"
--   held      with "holder": null while another transaction changes the row; and with "orphans": what a takeover of an
--             expired lease waits for
--   settled   with "run": the work of the run key is done
-- The lease with the token p_respect is not taken over yet: by the caller's own clock it still runs. p_orphans and p_seen are
-- those of settle_orphans(). What the caller controls was evaluated before: no row is locked while that is done.
CREATE OR REPLACE FUNCTION "migrate_lock".acquire(
    p_instance_id text, p_secret_sha256 bytea, p_ttl_ms bigint, p_host text, p_pid integer, p_command text, p_command_sha256 text,
    p_run_key text, p_failure_memory_ms bigint, p_respect bigint, p_orphans text, p_seen jsonb
) RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    ttl           interval := p_ttl_ms * interval '1 millisecond';
    seen          "migrate_lock".migration_lock;
    acquired      "migrate_lock".migration_lock;
    is_first      boolean;
    expired_token bigint;
    orphans       jsonb;
    takeover      jsonb;
    settled       jsonb;
    other         text;
    hash          text;
BEGIN
    IF p_run_key IS NOT NULL THEN
        settled := "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms);  -- mark: settled-before
        IF settled IS NOT NULL THEN
            RETURN jsonb_build_object('outcome', 'settled', 'run', settled);
        END IF;
    END IF;

    -- A plain read first: a refused ON CONFLICT DO UPDATE would lock the row and write WAL at every poll.
    SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1;
    is_first := NOT FOUND;
    IF seen.released_at IS NULL  -- mark: released-is-free
       AND seen.expires_at > clock_timestamp() THEN  -- mark: first-read
        IF "migrate_lock".proves(seen, p_instance_id, p_secret_sha256) IS TRUE THEN
            -- The answer to an earlier attempt was lost. That attempt may have been cut short while it waited for a
            -- synchronous standby: with the row lock this commit waits for it too.
            PERFORM FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;
            RETURN jsonb_build_object(
                'outcome', 'acquired', 'lease', "migrate_lock".describe(seen), 'takeover', NULL,
                'previousEnd', "migrate_lock".unclean_end(p_command_sha256),
                'auditHash', (SELECT acquired_hash FROM "migrate_lock".past(p_instance_id, p_secret_sha256)));
        END IF;
        RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(seen));
    END IF;

    IF NOT is_first AND seen.released_at IS NULL THEN
        -- An expired lease: its sessions have to end first. No call queues on the row. NO KEY: an assert_held() transaction
        -- is one of these sessions, and must not keep us from ending it.
        SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1
           FOR NO KEY UPDATE SKIP LOCKED;  -- mark: row-skipped
        IF NOT FOUND THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
        END IF;
        IF seen.released_at IS NULL AND (
               seen.expires_at > clock_timestamp() OR  -- mark: second-read
               seen.fencing_token = p_respect) THEN  -- mark: respect
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

    IF NOT is_first THEN  -- mark: before-the-row
        -- The upsert below would not wait for an assert_held() transaction; this skips the row.
        SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
        END IF;
        IF seen.released_at IS NULL
           AND seen.fencing_token IS DISTINCT FROM expired_token THEN  -- mark: another-was-quicker
            RETURN jsonb_build_object('outcome', 'held', 'holder', "migrate_lock".describe(seen));
        END IF;
        -- While the row is locked, no other run can settle the work.
        IF p_run_key IS NOT NULL THEN
            settled := "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms);  -- mark: settled-locked
            IF settled IS NOT NULL THEN
                RETURN jsonb_build_object('outcome', 'settled', 'run', settled);
            END IF;
        END IF;
        IF seen.released_at IS NULL THEN  -- mark: takeover
            takeover := jsonb_build_object(
                'previousInstanceId', seen.instance_id,
                'expiredMs', "migrate_lock".ms_between(seen.expires_at, clock_timestamp()),
                'sessionsEnded', cardinality(seen.ended_pids));
        END IF;
    END IF;

    -- An instance id names one acquisition only. The exception is the instance's own lease that ran out before its answer came.
    -- After a release the same call is one that was delayed on its way: its lease would not be used.
    IF EXISTS (
           SELECT FROM "migrate_lock".migration_lock_audit
            WHERE instance_id = p_instance_id AND event = 'lock.acquired')  -- mark: used-id
       AND (is_first
            OR seen.released_at IS NOT NULL  -- mark: own-released
            OR "migrate_lock".proves(seen, p_instance_id, p_secret_sha256) IS NOT TRUE) THEN
        RAISE EXCEPTION 'the instance id was used before' USING ERRCODE = 'unique_violation';
    END IF;

    -- The statement that grants the lease.
    INSERT INTO "migrate_lock".migration_lock AS lock
        (instance_id, locked_at, expires_at, secret_sha256, host, pid, db_role, command, command_sha256, run_key)
    VALUES (
        p_instance_id, clock_timestamp(), clock_timestamp() + ttl, p_secret_sha256,
        p_host, p_pid, session_user, p_command, p_command_sha256, p_run_key)
    ON CONFLICT (id) DO UPDATE SET
        instance_id    = excluded.instance_id,
        -- Not excluded's: those were computed before the wait for the row, and the lease starts after it.
        locked_at      = clock_timestamp(),  -- mark: begins-now
        expires_at     = clock_timestamp() + ttl,  -- mark: ends-after-ttl
        released_at    = NULL,  -- mark: not-released
        released_by    = NULL,
        -- The one token that this statement took.
        fencing_token  = excluded.fencing_token,  -- mark: new-token
        secret_sha256  = excluded.secret_sha256,  -- mark: new-secret
        host           = excluded.host,
        pid            = excluded.pid,
        db_role        = excluded.db_role,
        command        = excluded.command,
        command_sha256 = excluded.command_sha256,
        run_key        = excluded.run_key,
        ended_pids     = '{}'
    WHERE lock.expires_at <= clock_timestamp() OR lock.released_at IS NOT NULL  -- mark: upsert
    RETURNING * INTO acquired;
    IF NOT FOUND THEN
        RETURN jsonb_build_object('outcome', 'held', 'holder', NULL);
    END IF;
    IF is_first THEN  -- mark: first-row
        -- The first row: its times were computed before the wait for another first row that was then rolled back.
        UPDATE "migrate_lock".migration_lock SET locked_at = clock_timestamp(), expires_at = clock_timestamp() + ttl
         WHERE id = 1
        RETURNING * INTO acquired;
        IF "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms) IS NOT NULL THEN
            RAISE EXCEPTION 'the work of the run key was done in this moment' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    IF takeover IS NOT NULL THEN  -- mark: takeover-recorded
        PERFORM "migrate_lock".store_end(seen, 'expired', false, false);  -- mark: takeover-unclean
        hash := "migrate_lock".record_change('lock.takeover', p_instance_id, acquired.fencing_token, takeover);
        takeover := takeover || jsonb_build_object('auditHash', hash);
    END IF;
    hash := "migrate_lock".record_change(
        'lock.acquired', p_instance_id, acquired.fencing_token,
        jsonb_build_object('ttlMs', p_ttl_ms, 'host', p_host, 'pid', p_pid, 'command', p_command, 'runKey', p_run_key),
        p_secret_sha256);
    IF p_run_key IS NOT NULL THEN
        -- Another command with the same run key causes a warning: two services may share a key by mistake.
        SELECT coalesce(run.command, 'a command that is not known') INTO other
          FROM "migrate_lock".migration_lock_run AS run
         WHERE run.run_key = p_run_key AND run.command_sha256 <> p_command_sha256
         ORDER BY run.finished_at DESC
         LIMIT 1;
    END IF;
    RETURN jsonb_build_object(
        'outcome', 'acquired', 'lease', "migrate_lock".describe(acquired), 'takeover', takeover, 'auditHash', hash,
        'otherCommand', other, 'previousEnd', "migrate_lock".unclean_end(p_command_sha256));
END
$body$;
