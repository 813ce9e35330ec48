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
    takeover jsonb;
    orphans  jsonb;
    work     text   := p_client ->> 'runKey';
    memory   bigint := (p_client ->> 'failureMemoryMs')::bigint;
    settled  jsonb;
    retry    bigint;
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
    IF seen.id IS NOT NULL AND seen.released_at IS NULL THEN
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
    END IF;
    RETURN "migrate_lock".acquire_free(
        seen.id IS NULL, CASE WHEN takeover IS NOT NULL THEN seen.fencing_token END, takeover,
        p_instance_id, p_secret, p_ttl_ms, p_client);
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
