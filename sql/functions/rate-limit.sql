-- The rate limit. A client (a role at an address) may make N attempts a second, and 10 N in advance. The lock as a whole takes
-- 5 N: while more than five clients are over their rate, an attempt costs more, so that all have the same share.
--
-- Every attempt moves a sequence of the caller's role on: a rollback does not take that back, and it leaves no dead rows behind
-- a migration's open transaction. Every N-th attempt charges its client with a whole second (GCRA,
-- https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm). The sequence counts in microseconds since 1970, a tenth of what
-- an attempt costs: all addresses of a role together may make ten times what one may, and never more.

-- The sequence of the caller's role. Roles that can act as the owner share the owner's. Null: this role is not admitted itself.
CREATE OR REPLACE FUNCTION "migrate_lock".counter() RETURNS regclass
    LANGUAGE sql STABLE
AS $body$
    SELECT attempts FROM "migrate_lock".migration_lock_role
     WHERE role = (SELECT oid FROM pg_roles WHERE rolname = session_user)
        OR (role = 0 AND "migrate_lock".is_owner(session_user::text))
     ORDER BY role DESC
     LIMIT 1
$body$;

-- Refuses a role that has its rights from a group, and has no counter.
CREATE OR REPLACE FUNCTION "migrate_lock".refuse_member() RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    RAISE EXCEPTION 'the role % is not admitted to this lock itself', session_user
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Rights that come from a group are not enough: let the owner of the lock run migrate-lock init --grant-to.';
END
$body$;

-- Counts an attempt. Answers null, or in how many milliseconds the client may come back. Nobody waits here for another client.
CREATE OR REPLACE FUNCTION "migrate_lock".count_attempt() RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    advance CONSTANT interval := interval '10 seconds';
    client_at text     := coalesce(host(inet_client_addr()), '');
    sequence  regclass := "migrate_lock".counter();
    rate      integer;
    due       timestamptz;
    counted   timestamptz;
    moment    timestamptz;
    latest    timestamptz := 'infinity';
    now_us    bigint;
    position_ bigint;
    ahead_us  bigint;
    charges   boolean;
    is_free   boolean := false;
    wait_ms   bigint;
    charge    interval := interval '1 second';
BEGIN
    IF sequence IS NULL THEN
        PERFORM "migrate_lock".refuse_member();
    END IF;
    SELECT setting.attempts_per_second, client.next_at, client.counted_at
      INTO rate, due, counted
      FROM "migrate_lock".migration_lock_setting AS setting
      LEFT JOIN "migrate_lock".migration_lock_client AS client
        ON client.kind = 'attempt' AND client.db_role = session_user::text AND client.address = client_at;
    rate   := coalesce(rate, 200);
    moment := clock_timestamp();
    IF counted > moment + interval '1 second' THEN
        due    := moment;  -- the clock has stepped back
        latest := moment;
    END IF;

    now_us    := extract(epoch FROM moment) * 1000000;
    position_ := nextval(sequence);
    ahead_us  := position_ - now_us;
    -- A role that was silent has saved nothing up, and one that goes on asking waits for a second or two at most.
    -- More than a minute ahead: the clock has stepped back.
    IF ahead_us NOT BETWEEN -10000000 AND 12000000 THEN
        PERFORM setval(sequence, now_us + CASE WHEN ahead_us BETWEEN 0 AND 60000000 THEN 11000000 ELSE 0 END);
    END IF;
    charges := position_ / "migrate_lock".sequence_step(rate) % rate = 0;
    IF charges THEN
        is_free := "migrate_lock".lock_client('attempt', client_at);
    END IF;

    wait_ms := CASE
        WHEN ahead_us BETWEEN 10000000 AND 60000000 THEN 1000
        WHEN due > moment + advance THEN ceil(extract(epoch FROM due - advance - moment) * 1000)
        -- A client far over its rate that asks over many connections at once is not let in uncounted.
        WHEN charges AND NOT is_free AND due > moment + advance / 2 THEN 100
    END;
    IF wait_ms IS NOT NULL THEN
        PERFORM "migrate_lock".record_refusal(
            'attempt', 'lock.rate_limited', NULL, jsonb_build_object('attemptsPerSecond', rate));
        -- A client that comes again at once keeps its own connection busy, and leaves the server to the others.
        PERFORM pg_sleep(least(wait_ms, 100) / 1000.0);
        RETURN wait_ms;
    END IF;

    IF is_free THEN
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

-- By how many microseconds an attempt moves its sequence on.
CREATE OR REPLACE FUNCTION "migrate_lock".sequence_step(p_attempts_per_second integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
AS $body$
    SELECT greatest(1, 100000 / p_attempts_per_second)
$body$;
