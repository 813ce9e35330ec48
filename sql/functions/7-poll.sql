-- What a waiter asks: announce myself, try to acquire, and learn who holds the lock and how many wait (me included).
-- While the lock is held it writes nothing but the announcement, and that rarely. The last attempt at the wait timeout
-- leaves the queue in the same call: many with a common timeout come once at its end, not twice.
-- Who tells {"listens": true} in p_client may be one of the few whose session a release notifies: "listens" in the answer,
-- and "listening" says how many these are.
CREATE OR REPLACE FUNCTION "migrate_lock".poll(
    p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb, p_takeover jsonb,
    p_poll_interval_ms bigint, p_last boolean
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    answer     jsonb := "migrate_lock".acquire(p_instance_id, p_secret, p_ttl_ms, p_client, p_takeover);
    waiting    bigint;
    arrived    timestamptz;
    mine       timestamptz;
    counts_for interval;
    wants      boolean := coalesce((p_client ->> 'listens')::boolean, false);
    listened   boolean;
    listening  bigint;
    listens    boolean;
BEGIN
    IF answer ->> 'outcome' IN ('acquired', 'settled') THEN
        -- Whoever acquires at once is not in the queue.
        IF EXISTS (
            SELECT FROM "migrate_lock".migration_lock_waiter
             WHERE instance_id = p_instance_id OR counts_until <= clock_timestamp()) THEN
            PERFORM "migrate_lock".forget_waiters(p_instance_id);
        END IF;
        IF wants THEN
            -- A holder has no session state.
            UNLISTEN "migrate_lock";
        END IF;
        RETURN answer;
    END IF;
    IF answer ? 'retryAfterMs' AND NOT p_last THEN
        RETURN answer || '{"queueLength": 0}';
    END IF;

    SELECT count(*),
           max(counts_until) FILTER (WHERE instance_id = p_instance_id),
           max(arrived_at) FILTER (WHERE instance_id = p_instance_id),
           coalesce(bool_or(waiter.listens) FILTER (WHERE instance_id = p_instance_id), false),
           count(*) FILTER (WHERE waiter.listens AND instance_id <> p_instance_id)
      INTO waiting, mine, arrived, listened, listening
      FROM "migrate_lock".migration_lock_waiter AS waiter
     WHERE counts_until > clock_timestamp() OR instance_id = p_instance_id;
    IF mine IS NULL THEN
        waiting := waiting + 1;
    END IF;

    answer := answer || jsonb_build_object('queueLength', waiting);

    IF p_last THEN
        IF arrived IS NOT NULL THEN
            PERFORM "migrate_lock".forget_waiters(p_instance_id);
            PERFORM "migrate_lock".record('wait.timeout', p_instance_id, NULL, jsonb_build_object(
                'holder', answer #> '{holder,instanceId}',
                'holderCommand', answer #> '{holder,command}',
                'queueLength', waiting,
                'waitedMs', "migrate_lock".ms_between(arrived, clock_timestamp())));
        END IF;
        RETURN answer;
    END IF;

    -- Whoever comes while a place is free, not the first in order: all places are then taken again a few polls after each
    -- handover, however short the commands are.
    listens := wants AND (listened OR listening < 4);
    IF listens THEN
        LISTEN "migrate_lock";
    END IF;
    IF listens AND NOT listened THEN
        -- This session will try as soon as it is notified: all that it will do then is done once without effect.
        PERFORM "migrate_lock".acquire_free(false, NULL, NULL, NULL, p_secret, p_ttl_ms, p_client);
        PERFORM "migrate_lock".forget_waiters(NULL);
    END IF;

    -- The longest pause between two polls is 1.5 times the poll interval, or n / 20 s with many waiters.
    -- A waiter counts for four of these, and renews when half of that is over.
    counts_for := greatest(15000, 6 * p_poll_interval_ms, 300 * waiting) * interval '1 millisecond';
    IF mine IS NULL OR mine - clock_timestamp() < counts_for / 2 OR listens <> listened THEN
        INSERT INTO "migrate_lock".migration_lock_waiter AS waiter
            (instance_id, arrived_at, counts_until, host, pid, db_role, command, run_key, listens)
        VALUES (
            p_instance_id, clock_timestamp(), clock_timestamp() + counts_for,
            left(p_client ->> 'host', 255), (p_client ->> 'pid')::integer, session_user,
            left(p_client ->> 'command', 2000), p_client ->> 'runKey', listens)
        ON CONFLICT (instance_id) DO UPDATE SET counts_until = excluded.counts_until, listens = excluded.listens
            WHERE waiter.db_role = session_user;
    END IF;

    RETURN answer || jsonb_build_object('listens', listens, 'listening', listening + listens::integer);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".poll(text, text, bigint, jsonb, jsonb, bigint, boolean) FROM PUBLIC;
