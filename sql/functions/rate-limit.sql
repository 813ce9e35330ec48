-- The rate limit. A client (a role at an address) may make N attempts a second, and 10 N in advance. The lock as a whole takes
-- 5 N: while more than five clients are over their rate, an attempt costs more, so that all have the same share.
--
-- Every attempt moves a sequence of the caller's role on: a rollback does not take that back, and it leaves no dead rows behind
-- a migration's open transaction. Every N-th attempt charges its client with a whole second (GCRA,
-- https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm). The sequence counts in microseconds since 1970, a tenth of what
-- an attempt costs: all addresses of a role together may make ten times what one may, and never more.

-- Locks the caller's row of this kind, and makes it where it is missing. No call waits here: a transaction that is left open keeps
-- only its own client from being counted. Answers whether the row is the caller's now.
CREATE OR REPLACE FUNCTION "migrate_lock".lock_client(p_kind text, p_address text) RETURNS boolean
    LANGUAGE plpgsql
AS $body$
DECLARE
    made boolean;
BEGIN
    PERFORM FROM "migrate_lock".migration_lock_client
      WHERE kind = p_kind AND db_role = session_user::text AND address = p_address
        FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM "migrate_lock".migration_lock_client
      WHERE kind = p_kind AND db_role = session_user::text AND address = p_address;
    IF FOUND THEN
        RETURN false;
    END IF;
    BEGIN
        -- An insert waits for another one that is not committed yet, and has no SKIP LOCKED.
        PERFORM set_config('lock_timeout', '1ms', true);
        INSERT INTO "migrate_lock".migration_lock_client (kind, db_role, address, next_at, counted_at)
        VALUES (p_kind, session_user, p_address, clock_timestamp(), clock_timestamp())
        ON CONFLICT (kind, db_role, address) DO NOTHING;
        made := FOUND;
        PERFORM set_config('lock_timeout', '2s', true);
        RETURN made;
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
END
$body$;

-- Decides about an attempt whose number from the sequence does not suffice: it charges the client, or is over the rate, or the clock
-- has moved. p_counter is the sequence of the caller's role (roles that can act as the owner share the owner's), ahead_us how far
-- the number is ahead of the clock; due and p_counted are next_at and counted_at of the client. Answers null, or after how many
-- milliseconds the client may try again. No call waits here for another client.
CREATE OR REPLACE FUNCTION "migrate_lock".charge_client(
    p_counter regclass, p_rate integer, p_position bigint, charges boolean, ahead_us bigint, moment timestamptz,
    due timestamptz, p_counted timestamptz
) RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    advance   CONSTANT interval := interval '10 seconds';
    client_at text        := coalesce(host(inet_client_addr()), '');
    latest    timestamptz := 'infinity';
    is_free   boolean;
    wait_ms   bigint;
    charge    interval;
BEGIN
    IF p_counted > moment + interval '1 second' THEN
        due    := moment;  -- the clock has stepped back
        latest := moment;
    END IF;
    -- A role that made no attempts has no credit for that, and one that continues waits for a second or two at most. More than a
    -- minute ahead means that the clock has stepped back.
    IF ahead_us NOT BETWEEN -10000000 AND 12000000 THEN
        PERFORM setval(p_counter, p_position - ahead_us + CASE WHEN ahead_us BETWEEN 0 AND 60000000 THEN 11000000 ELSE 0 END);
    END IF;
    is_free := charges AND "migrate_lock".lock_client('attempt', client_at);
    wait_ms := CASE
        WHEN ahead_us BETWEEN 10000000 AND 60000000 THEN 1000
        WHEN due > moment + advance THEN ceil(extract(epoch FROM due - advance - moment) * 1000)
        -- A client far over its rate that uses many connections at once makes no uncounted attempt.
        WHEN charges AND NOT is_free AND due > moment + advance / 2 THEN 100
    END;
    IF wait_ms IS NOT NULL THEN
        PERFORM "migrate_lock".record_refusal(
            'attempt', 'lock.rate_limited', NULL, jsonb_build_object('attemptsPerSecond', p_rate));
        -- A client that tries again at once waits here on its own connection, and leaves the server to the others.
        PERFORM pg_sleep(least(wait_ms, 100) / 1000.0);
        RETURN wait_ms;
    END IF;

    IF is_free THEN
        charge := interval '1 second';
        IF due > moment THEN
            -- A role with many addresses may make ten times what one may, so it counts for ten at most.
            SELECT greatest(charge, sum(least(of_role.clients, 10)) * charge / 5) INTO charge
              FROM (SELECT count(*) AS clients
                      FROM "migrate_lock".migration_lock_client AS over
                     WHERE over.kind = 'attempt' AND over.next_at > moment
                     GROUP BY over.db_role) AS of_role;
        ELSIF due IS NULL THEN
            DELETE FROM "migrate_lock".migration_lock_client
             WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM "migrate_lock".migration_lock_client
                  WHERE greatest(counted_at, refused_at) < moment - interval '1 day'
                    FOR UPDATE SKIP LOCKED));
        END IF;
        UPDATE "migrate_lock".migration_lock_client AS client
           SET next_at = greatest(least(client.next_at, latest), moment) + charge, counted_at = moment
         WHERE client.kind = 'attempt' AND client.db_role = session_user::text AND client.address = client_at;
    END IF;
    RETURN NULL;
END
$body$;
