-- Says that the caller asks for more than this lock allows, with a code of our own. PostgreSQL does not use the class ML.
CREATE OR REPLACE FUNCTION "migrate_lock".refuse_request(p_message text, p_hint text) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    RAISE EXCEPTION USING MESSAGE = p_message, HINT = p_hint, ERRCODE = 'ML001';
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".refuse_request(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION "migrate_lock".refuse_ttl(p_ttl_ms bigint, p_longest_ms bigint) RETURNS void
    LANGUAGE sql
AS $body$
    SELECT "migrate_lock".refuse_request(
        format('a lease of %s ms is longer than this lock allows, which is %s ms', p_ttl_ms, p_longest_ms),
        'Ask for less, or let the owner of the lock raise the limit with migrate-lock init --max-ttl.')
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".refuse_ttl(bigint, bigint) FROM PUBLIC;

-- Says what is wrong with a request.
CREATE OR REPLACE FUNCTION "migrate_lock".refuse_excess(
    p_instance_id text, p_ttl_ms bigint, p_longest_ms bigint, p_client jsonb
) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF p_instance_id IS NULL THEN
        PERFORM "migrate_lock".refuse_request('there is no instance id', 'Give one that was never used before.');
    ELSIF p_ttl_ms > p_longest_ms THEN
        PERFORM "migrate_lock".refuse_ttl(p_ttl_ms, p_longest_ms);
    ELSIF octet_length(p_instance_id) > 1000 THEN
        PERFORM "migrate_lock".refuse_request('the instance id is longer than 1000 bytes', 'Give a shorter one.');
    END IF;
    PERFORM "migrate_lock".refuse_request(
        'the run key is longer than 2600 bytes', 'Give a shorter one: a name or a digest of the work is enough.');
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".refuse_excess(text, bigint, bigint, jsonb) FROM PUBLIC;

-- Counts an attempt (GCRA, https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm) against its client, a role at an
-- address. Answers null, or in how many milliseconds it may come back.
--
-- A client may make N attempts a second, and 10 N in advance. The lock as a whole takes 5 N: while more than five clients
-- are behind with their pay, the time that an attempt costs grows with their number, so that all have the same share and
-- none can use up what the others have. Nobody waits here: what comes while another attempt of the same client is being
-- counted is not counted itself, and only half as much is allowed in advance then.
--
-- What a transaction counts is gone when it is rolled back, and is not seen while it stays open. So each role that was
-- admitted has a sequence besides, which nobody can take back: each attempt moves it on by a tenth of what an attempt
-- costs, in microseconds since 1970, and it must not be ten seconds ahead of the clock.
CREATE OR REPLACE FUNCTION "migrate_lock".count_attempt(p_instance_id text, p_client jsonb) RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    advance CONSTANT interval := interval '10 seconds';
    from_   text := coalesce(host(inet_client_addr()), '');
    of_role regclass;
    ahead   bigint;
    now_us  bigint;
    rate    integer;
    due     timestamptz;
    counted timestamptz;
    moment  timestamptz;
    latest  timestamptz := 'infinity';
    cost    interval;
    wait_ms bigint;
    counts  boolean := "migrate_lock".may_write_client('attempt', from_);
BEGIN
    SELECT setting.attempts_per_second, client.next_at, client.counted_at, role.attempts
      INTO rate, due, counted, of_role
      FROM "migrate_lock".migration_lock_setting AS setting
      LEFT JOIN "migrate_lock".migration_lock_client AS client
        ON client.kind = 'attempt' AND client.db_role = session_user::text AND client.address = from_
      LEFT JOIN "migrate_lock".migration_lock_role AS role ON role.db_role = session_user::text;
    moment := clock_timestamp();
    cost   := interval '1 second' / coalesce(rate, 200);
    IF moment < counted - interval '1 second' THEN
        due    := moment;  -- the clock stepped back
        latest := moment;
    END IF;

    IF of_role IS NOT NULL THEN
        now_us := extract(epoch FROM moment) * 1000000;
        ahead  := nextval(of_role) - now_us;
        -- Who has been silent has saved nothing up, and who went on asking has not to wait for longer than a second or two.
        IF ahead NOT BETWEEN -10000000 AND 12000000 THEN
            PERFORM setval(of_role, now_us + CASE WHEN ahead > 0 THEN 11000000 ELSE 0 END);
        END IF;
    END IF;
    wait_ms := CASE
        WHEN ahead > 10000000 THEN 1000
        WHEN due > moment + advance THEN ceil(extract(epoch FROM due - advance - moment) * 1000)
        -- Who is far behind and asks over many connections at once is not let in uncounted.
        WHEN NOT counts AND due > moment + advance / 2 THEN 100
    END;
    IF wait_ms IS NOT NULL THEN
        PERFORM "migrate_lock".record_refusal('attempt', 'lock.rate_limited', p_instance_id, jsonb_build_object(
            'attemptsPerSecond', rate, 'host', left(p_client ->> 'host', 255), 'pid', p_client -> 'pid'));
        -- Who comes again at once keeps its own connection busy, and leaves the server to the others.
        PERFORM pg_sleep(least(wait_ms, 100) / 1000.0);
        RETURN wait_ms;
    END IF;
    IF NOT counts THEN
        RETURN NULL;
    END IF;

    IF due > moment THEN
        SELECT greatest(cost, count(*) * cost / 5) INTO cost
          FROM "migrate_lock".migration_lock_client AS behind
         WHERE behind.kind = 'attempt' AND behind.next_at > moment;
    END IF;
    IF due IS NULL THEN
        DELETE FROM "migrate_lock".migration_lock_client
         WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM "migrate_lock".migration_lock_client
              WHERE greatest(counted_at, refused_at) < moment - interval '1 day'
                FOR UPDATE SKIP LOCKED));
    END IF;
    INSERT INTO "migrate_lock".migration_lock_client AS client (kind, db_role, address, next_at, counted_at)
    VALUES ('attempt', session_user, from_, moment + cost, moment)
    ON CONFLICT (kind, db_role, address) DO UPDATE SET
        next_at    = greatest(least(client.next_at, latest), moment) + cost,
        counted_at = moment;
    RETURN NULL;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".count_attempt(text, jsonb) FROM PUBLIC;

-- Refuses an attempt that asks for too much, and counts it. Answers null, or in how many milliseconds it may come back: it has
-- not come near the lock then. Almost always a client is not behind with its pay, and all there is to do is one update.
CREATE OR REPLACE FUNCTION "migrate_lock".retry_after_ms(p_instance_id text, p_ttl_ms bigint, p_client jsonb)
    RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    from_   text := coalesce(host(inet_client_addr()), '');
    longest bigint;
    cost    interval;
    due     timestamptz;
    counted timestamptz;
    moment  timestamptz;
BEGIN
    SELECT setting.max_ttl_ms, interval '1 second' / setting.attempts_per_second, client.next_at, client.counted_at
      INTO longest, cost, due, counted
      FROM "migrate_lock".migration_lock_setting AS setting
      LEFT JOIN "migrate_lock".migration_lock_client AS client
        ON client.kind = 'attempt' AND client.db_role = session_user::text AND client.address = from_;
    moment := clock_timestamp();
    -- What is stored under an index has to fit into it.
    IF p_instance_id IS NULL OR p_ttl_ms > longest
       OR octet_length(p_instance_id) > 1000 OR octet_length(p_client ->> 'runKey') > 2600 THEN
        PERFORM "migrate_lock".refuse_excess(p_instance_id, p_ttl_ms, longest, p_client);
    END IF;
    -- The owner's role is not admitted, and has no sequence.
    IF due <= moment AND counted <= moment AND session_user = current_user THEN
        UPDATE "migrate_lock".migration_lock_client AS client
           SET next_at = greatest(client.next_at, moment) + cost, counted_at = moment
         WHERE client.kind = 'attempt' AND client.db_role = session_user::text AND client.address = from_
           AND "migrate_lock".may_write_client('attempt', from_);
        RETURN NULL;
    END IF;
    RETURN "migrate_lock".count_attempt(p_instance_id, p_client);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".retry_after_ms(text, bigint, jsonb) FROM PUBLIC;
