-- The queue: the waiters, and which of them a release notifies. Nothing in it is needed for correctness: it paces the polls, and
-- `status` shows it. No call waits for a row of it.

-- Announces a waiter, or takes it out of the queue after its last attempt. Answers "queueLength": how many wait, the caller
-- included; "listens": a release notifies this session; "listening": how many are notified.
CREATE OR REPLACE FUNCTION "migrate_lock".queue(
    p_instance_id text, p_secret_sha256 bytea, p_host text, p_pid integer, p_command text,
    p_command_sha256 text, p_run_key text,
    p_poll_interval_ms bigint, p_last boolean, p_wants_to_listen boolean, p_connections_left bigint, p_holder jsonb
) RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    moment     timestamptz := clock_timestamp();
    mine       "migrate_lock".migration_lock_waiter;
    waiting    bigint;
    of_my_role bigint;
    listening  bigint;
    notified   boolean;  -- a release notifies this session from now on
    counts_for interval;
BEGIN
    SELECT * INTO mine FROM "migrate_lock".migration_lock_waiter
     WHERE instance_id = p_instance_id AND db_role = session_user
       AND secret_sha256 = p_secret_sha256;  -- mark: own-waiter
    SELECT count(*), count(*) FILTER (WHERE db_role = session_user), count(*) FILTER (WHERE waiter.listens AND db_role = session_user)
      INTO waiting, of_my_role, listening
      FROM "migrate_lock".migration_lock_waiter AS waiter
     WHERE instance_id <> p_instance_id
       AND counts_until > moment;  -- mark: waiter-counts
    waiting := waiting + 1;  -- mark: caller-counts

    IF p_last THEN
        IF mine.instance_id IS NOT NULL THEN
            PERFORM "migrate_lock".forget_waiters(p_instance_id, p_secret_sha256);
            INSERT INTO "migrate_lock".migration_lock_audit (event, instance_id, details)
            VALUES ('wait.timeout', p_instance_id, jsonb_build_object(
                'holder', p_holder -> 'instanceId',
                'holderCommand', p_holder -> 'command',
                'queueLength', waiting,
                'waitedMs', "migrate_lock".ms_between(mine.arrived_at, moment)));
        END IF;
        RETURN jsonb_build_object('queueLength', waiting);
    END IF;

    -- Each role has four places of its own, which another role cannot take with waiters that do not exist. The next to poll gets a
    -- free place, not the first in order: so all are taken soon after a handover. Where connections are few, no waiter keeps one.
    notified := p_wants_to_listen AND (mine.listens IS TRUE OR listening < 4) AND p_connections_left >= 5;
    IF notified THEN
        LISTEN "migrate_lock";
    ELSIF p_wants_to_listen THEN
        UNLISTEN "migrate_lock";
    END IF;

    -- The longest pause between two polls is 1.5 times the poll interval, or 75 ms for each of many waiters (300 ms where
    -- connections are few). A waiter counts for twice as long or longer, at most an hour, and is renewed when half of that has
    -- passed: so it counts until its next poll.
    counts_for := least(greatest(15000, 6 * p_poll_interval_ms, 600 * waiting), 3600000) * interval '1 millisecond';
    -- At most 1000 waiters of a role are counted, because waiters that do not exist make the others poll less often; more can wait
    -- uncounted. An id that was another holder's is not announced: rows about an instance need its proof.
    IF mine.instance_id IS NULL AND of_my_role < 1000
       AND (SELECT was_holder OR NOT was_used FROM "migrate_lock".past(p_instance_id, p_secret_sha256)) THEN
        -- DO NOTHING: an id that another client has announced stays that client's, and DO UPDATE would lock its row.
        INSERT INTO "migrate_lock".migration_lock_waiter
            (instance_id, secret_sha256, arrived_at, counts_until, host, pid, db_role, command, command_sha256, run_key,
             listens)
        VALUES (
            p_instance_id, p_secret_sha256, moment, moment + counts_for, p_host, p_pid, session_user, p_command,
            p_command_sha256, p_run_key, notified)
        ON CONFLICT (instance_id) DO NOTHING;
    ELSIF (mine.counts_until - moment > counts_for / 2 AND notified = mine.listens) IS NOT TRUE THEN
        -- Another transaction that has locked the row is removing it: the next poll announces this waiter again.
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
    RETURN jsonb_build_object('queueLength', waiting, 'listens', notified, 'listening', listening + notified::integer);
END
$body$;

-- Takes one waiter out of the queue, and those that do not count any more. A clock that stepped back leaves some whose time
-- lies far ahead: they go too. Rows that another transaction has locked are left to it. Answers how many others went.
CREATE OR REPLACE FUNCTION "migrate_lock".forget_waiters(p_instance_id text, p_secret_sha256 bytea) RETURNS bigint
    LANGUAGE sql
AS $body$
    WITH gone AS (
        SELECT instance_id
          FROM "migrate_lock".migration_lock_waiter
         WHERE (instance_id = p_instance_id
                AND db_role = session_user  -- mark: forgets-own-role
                AND secret_sha256 = p_secret_sha256  -- mark: forgets-own
               )
            OR counts_until <= clock_timestamp()  -- mark: forgets-past
            OR counts_until > clock_timestamp() + interval '2 hours'  -- mark: forgets-ahead
           FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM "migrate_lock".migration_lock_waiter AS waiter
         USING gone
         WHERE waiter.instance_id = gone.instance_id
        RETURNING waiter.instance_id
    )
    SELECT count(*) FROM forgotten WHERE instance_id IS DISTINCT FROM p_instance_id
$body$;
