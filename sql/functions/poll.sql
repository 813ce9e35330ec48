-- The one call of an instance that wants the lease: checks the request, counts it, tries to acquire, and otherwise announces
-- the instance as a waiter. While the lock is held it writes nothing but the announcement, and that rarely.
-- Answers as acquire() does. A held answer also has "queueLength": how many wait, the caller included; "listens": a release
-- notifies this session; "listening": how many are notified; "connectionsLeft"; "retryAfterMs": too many attempts came from this client, this one
-- was not made. Answers "schema", with what version() says, to a program that this lock schema is not for.
-- The last attempt at the wait timeout (p_last) leaves the queue in the same call.
CREATE OR REPLACE FUNCTION "migrate_lock".poll(
    p_program integer, p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb, p_command_sha256 text,
    p_run_key text, p_failure_memory_ms bigint, p_respect bigint, p_orphans text, p_seen jsonb,
    p_poll_interval_ms bigint, p_last boolean, p_listens boolean
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    retry_ms bigint;
    answer   jsonb;
BEGIN
    PERFORM "migrate_lock".require(num_nulls(
        p_program, p_instance_id, p_secret, p_ttl_ms, p_client, p_orphans, p_poll_interval_ms));
    IF (SELECT version >= p_program AND oldest_program <= p_program FROM "migrate_lock".migration_lock_version) IS NOT TRUE THEN
        RETURN "migrate_lock".version() || '{"outcome": "schema"}';
    END IF;
    PERFORM "migrate_lock".begin_change();
    PERFORM "migrate_lock".check_request(
        p_instance_id, p_secret, p_ttl_ms, p_client, p_command_sha256, p_run_key, p_failure_memory_ms, p_orphans, p_seen,
        p_poll_interval_ms);

    retry_ms := "migrate_lock".count_attempt();
    IF retry_ms IS NOT NULL THEN
        RETURN jsonb_build_object(
            'outcome', 'held', 'holder', NULL, 'queueLength', 0, 'retryAfterMs', retry_ms);
    END IF;

    answer := "migrate_lock".acquire(
        p_instance_id, p_secret, p_ttl_ms, p_client, p_command_sha256, p_run_key, p_failure_memory_ms, p_respect,
        p_orphans, p_seen);
    IF answer ->> 'outcome' = 'held' THEN
        RETURN answer || "migrate_lock".queue(
            p_instance_id, p_secret, p_client, p_run_key, p_poll_interval_ms, p_last IS TRUE, p_listens IS TRUE, answer);
    END IF;
    -- An instance that acquires at once is not in the queue, and mostly nobody is.
    IF EXISTS (SELECT FROM "migrate_lock".migration_lock_waiter) THEN
        PERFORM "migrate_lock".forget_waiters(p_instance_id, p_secret);
    END IF;
    IF p_listens IS TRUE THEN
        -- A holder has no session state.
        UNLISTEN "migrate_lock";
    END IF;
    RETURN answer;
END
$body$;

-- Refuses what cannot be right in a request, before anything is locked or written.
CREATE OR REPLACE FUNCTION "migrate_lock".check_request(
    p_instance_id text, p_secret text, p_ttl_ms bigint, p_client jsonb, p_command_sha256 text, p_run_key text,
    p_failure_memory_ms bigint, p_orphans text, p_seen jsonb, p_poll_interval_ms bigint
) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    PERFORM "migrate_lock".check_ttl(p_ttl_ms);
    PERFORM "migrate_lock".check_orphans(p_orphans, p_seen);
    IF octet_length(p_instance_id) NOT BETWEEN 1 AND 200 OR octet_length(p_secret) NOT BETWEEN 1 AND 200 THEN
        PERFORM "migrate_lock".refuse(
            'the instance id or the secret is empty or longer than 200 bytes', 'Give ones that were never used before.');
    ELSIF jsonb_typeof(p_client) IS DISTINCT FROM 'object' OR octet_length(p_client::text) > 100000 THEN
        PERFORM "migrate_lock".refuse(
            'the description of the client is not a JSON object of at most 100000 bytes', 'Give host, pid and command.');
    ELSIF octet_length(p_run_key) NOT BETWEEN 1 AND 2600 OR octet_length(p_command_sha256) > 64
          OR (p_run_key IS NOT NULL AND p_command_sha256 IS NULL) THEN
        -- What is stored under an index has to fit into it.
        PERFORM "migrate_lock".refuse(
            'the run key is empty or longer than 2600 bytes, or comes without the SHA-256 of its command',
            'Give a shorter key: a name or a digest of the work is enough.');
    ELSIF p_poll_interval_ms NOT BETWEEN 1 AND 2147483647 OR p_failure_memory_ms NOT BETWEEN 0 AND 3155760000000 THEN
        PERFORM "migrate_lock".refuse('a duration is negative or too long', 'Give a number of milliseconds.');
    END IF;
END
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".check_ttl(p_ttl_ms bigint) RETURNS void
    LANGUAGE plpgsql
AS $body$
DECLARE
    longest_ms bigint := (SELECT least(max_ttl_ms, 2147483647) FROM "migrate_lock".migration_lock_setting);
BEGIN
    IF (p_ttl_ms BETWEEN 1 AND coalesce(longest_ms, 2147483647)) IS NOT TRUE THEN
        PERFORM "migrate_lock".refuse(
            format('a lease of %s ms is not allowed: this lock allows at most %s ms', p_ttl_ms, longest_ms),
            'Ask for less, or let the owner of the lock raise the limit with migrate-lock init --max-ttl.');
    END IF;
END
$body$;

-- Waiters of one role that are counted. More can wait, uncounted: a role that announces waiters which do not exist makes the
-- others poll less often, and this is the bound of it.
CREATE OR REPLACE FUNCTION "migrate_lock".most_waiters() RETURNS integer
    LANGUAGE sql IMMUTABLE
AS $body$
    SELECT 1000
$body$;

-- Announces a waiter, or takes it out of the queue after its last attempt. Answers what it learns of the queue.
CREATE OR REPLACE FUNCTION "migrate_lock".queue(
    p_instance_id text, p_secret text, p_client jsonb, p_run_key text, p_poll_interval_ms bigint,
    p_last boolean, p_wants_to_listen boolean, p_held jsonb
) RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    moment     timestamptz := clock_timestamp();
    secret     bytea       := "migrate_lock".digest(p_secret);
    mine       "migrate_lock".migration_lock_waiter;
    waiting    bigint;
    of_my_role bigint;
    listening  bigint;
    notified   boolean;  -- a release notifies this session from now on
    left_over  bigint      := "migrate_lock".connections_left();
    counts_for interval;
BEGIN
    SELECT * INTO mine FROM "migrate_lock".migration_lock_waiter
     WHERE instance_id = p_instance_id AND db_role = session_user AND secret_sha256 = secret;
    SELECT count(*), count(*) FILTER (WHERE db_role = session_user), count(*) FILTER (WHERE waiter.listens AND db_role = session_user)
      INTO waiting, of_my_role, listening
      FROM "migrate_lock".migration_lock_waiter AS waiter
     WHERE counts_until > moment AND instance_id <> p_instance_id;
    waiting := waiting + 1;

    IF p_last THEN
        IF mine.instance_id IS NOT NULL THEN
            PERFORM "migrate_lock".forget_waiters(p_instance_id, p_secret);
            PERFORM "migrate_lock".record('wait.timeout', p_instance_id, jsonb_build_object(
                'holder', p_held #> '{holder,instanceId}',
                'holderCommand', p_held #> '{holder,command}',
                'queueLength', waiting,
                'waitedMs', "migrate_lock".ms_between(mine.arrived_at, moment)));
        END IF;
        RETURN jsonb_build_object('queueLength', waiting);
    END IF;

    -- Each role has places of its own: another one cannot take them by waiters that do not exist.
    -- The first to come while a place is free, not the first in order: all places are then taken again a few polls after each
    -- handover, however short the commands are. Where connections are few, nobody keeps one.
    notified := p_wants_to_listen AND (mine.listens IS TRUE OR listening < 4) AND left_over >= 5;
    IF notified THEN
        LISTEN "migrate_lock";
    ELSIF p_wants_to_listen THEN
        UNLISTEN "migrate_lock";
    END IF;

    -- The longest pause between two polls is 1.5 times the poll interval, or n / 20 s with many waiters. A waiter counts for
    -- four of these, at most an hour, and renews when half of that is over.
    counts_for := least(greatest(15000, 6 * p_poll_interval_ms, 300 * waiting), 3600000) * interval '1 millisecond';
    -- An id that was another holder's is not announced: rows about an instance need its proof.
    IF mine.instance_id IS NULL AND of_my_role < "migrate_lock".most_waiters()
       AND ("migrate_lock".was_used(p_instance_id) IS NOT TRUE
            OR "migrate_lock".was_holder(p_instance_id, p_secret) IS TRUE) THEN
        -- DO NOTHING: an id that another client has announced stays that client's, and DO UPDATE would lock its row.
        INSERT INTO "migrate_lock".migration_lock_waiter
            (instance_id, secret_sha256, arrived_at, counts_until, host, pid, db_role, command, run_key, listens)
        VALUES (
            p_instance_id, secret, moment, moment + counts_for, left(p_client ->> 'host', 255),
            CASE WHEN p_client ->> 'pid' ~ '^[0-9]{1,9}$' THEN (p_client ->> 'pid')::integer END,
            session_user, left(p_client ->> 'command', 2000), p_run_key, notified)
        ON CONFLICT (instance_id) DO NOTHING;
    ELSIF (mine.counts_until - moment > counts_for / 2 AND notified = mine.listens) IS NOT TRUE THEN
        -- A row that another transaction has locked is just being forgotten: the next poll announces this waiter again.
        WITH free AS (
            SELECT waiter.instance_id
              FROM "migrate_lock".migration_lock_waiter AS waiter
             WHERE waiter.instance_id = mine.instance_id AND waiter.db_role = mine.db_role
               AND waiter.secret_sha256 = mine.secret_sha256
               FOR UPDATE SKIP LOCKED
        )
        UPDATE "migrate_lock".migration_lock_waiter AS waiter
           SET counts_until = moment + counts_for, listens = notified
          FROM free
         WHERE waiter.instance_id = free.instance_id;
    END IF;
    RETURN jsonb_build_object(
        'queueLength', waiting, 'listens', notified, 'listening', listening + notified::integer, 'connectionsLeft', left_over);
END
$body$;

-- Takes one waiter out of the queue, and those that do not count any more. A clock that stepped back leaves some whose time
-- lies far ahead: they go too. Rows that another transaction has locked are left to it: nobody waits for a row of the queue.
CREATE OR REPLACE FUNCTION "migrate_lock".forget_waiters(p_instance_id text, p_secret text) RETURNS bigint
    LANGUAGE sql
AS $body$
    WITH gone AS (
        SELECT instance_id
          FROM "migrate_lock".migration_lock_waiter
         WHERE (instance_id = p_instance_id AND db_role = session_user AND secret_sha256 = "migrate_lock".digest(p_secret))
            OR counts_until <= clock_timestamp() OR counts_until > clock_timestamp() + interval '2 hours'
           FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM "migrate_lock".migration_lock_waiter AS waiter
         USING gone
         WHERE waiter.instance_id = gone.instance_id
        RETURNING waiter.instance_id
    )
    SELECT count(*) FROM forgotten WHERE instance_id IS DISTINCT FROM p_instance_id
$body$;

-- How many more connections the caller's role can make here: the least of what the server, the database and the role allow.
CREATE OR REPLACE FUNCTION "migrate_lock".connections_left() RETURNS bigint
    LANGUAGE sql STABLE
AS $body$
    SELECT least(
               current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
                   - coalesce(current_setting('reserved_connections', true)::integer, 0) - count(*),
               CASE WHEN NOT rolsuper AND rolconnlimit >= 0 THEN rolconnlimit - count(*) FILTER (WHERE usesysid = role.oid) END,
               CASE WHEN NOT rolsuper AND datconnlimit >= 0 THEN datconnlimit - count(*) FILTER (WHERE datid = here.oid) END)
      FROM pg_roles AS role, pg_database AS here, pg_stat_get_activity(NULL) AS session
     WHERE role.rolname = session_user AND here.datname = current_database() AND session.usesysid IS NOT NULL
     GROUP BY rolsuper, rolconnlimit, datconnlimit
$body$;
