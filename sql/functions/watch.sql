-- Waiting for a run key without the lock: the work of a key is done when every command that is known, waits or runs under it has
-- succeeded at its newest run, and at least one has. A watcher starts nothing and changes nothing of the lock. Where it may write,
-- it announces itself, so that a thousand watchers read rarely.

-- One read of a run key. Answers "done"; "success" and "failure": the newest run of each kind that is stored, null: none;
-- "failedAgoMs"; "uncleanEnd": of a command that has not succeeded since; "isAwaited": a run waits or runs under the key; "holder"
-- of the lock now; and "watchers": how many there are, the caller included, null where the caller could not announce itself.
-- p_watcher is a random name. p_last: the caller does not read again. Works on a replica, which does not know the waiters.
CREATE OR REPLACE FUNCTION "migrate_lock".watch(p_run_key text, p_watcher text, p_last boolean) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease     "migrate_lock".migration_lock;
    success   "migrate_lock".migration_lock_run;
    failure   "migrate_lock".migration_lock_run;
    unclean   text;      -- a command that has not succeeded since
    begun     text[] := '{}';  -- the commands that wait or run
    awaited   boolean;
    done      boolean;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_run_key, p_watcher));
    IF octet_length(p_run_key) NOT BETWEEN 1 AND 2600 OR octet_length(p_watcher) NOT BETWEEN 1 AND 200 THEN
        PERFORM "migrate_lock".refuse('the run key or the name is empty or too long', 'Give at most 2600 and 200 bytes.');
    END IF;
    -- In the order of a run's states: each statement has a snapshot of its own, so no run is missed between two of them.
    IF NOT pg_is_in_recovery() THEN
        SELECT coalesce(array_agg(coalesce(command_sha256, '')), '{}') INTO begun
          FROM "migrate_lock".migration_lock_waiter
         WHERE run_key = p_run_key  -- mark: watched-waits
           AND counts_until > clock_timestamp();
    END IF;
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    -- A lease that has expired without a release counts too: its work was begun, and its end is not known.
    IF lease.released_at IS NULL AND lease.run_key = p_run_key THEN  -- mark: watched-runs
        begun := begun || coalesce(lease.command_sha256, '');
    END IF;
    SELECT * INTO failure FROM "migrate_lock".migration_lock_run AS run
     WHERE run_key = p_run_key AND NOT run.succeeded ORDER BY finished_at DESC LIMIT 1;
    SELECT * INTO success FROM "migrate_lock".migration_lock_run AS run
     WHERE run_key = p_run_key AND run.succeeded ORDER BY finished_at DESC LIMIT 1;
    -- By the primary key for each command, as a scalar subquery is never planned otherwise: a key may have any number of them.
    awaited := EXISTS (
        SELECT FROM unnest(begun) AS command (sha256)
         WHERE (SELECT run.succeeded
                  FROM "migrate_lock".migration_lock_run AS run
                 WHERE run_key = p_run_key AND command_sha256 = command.sha256)
               IS NOT TRUE);  -- mark: watched-begun
    SELECT command_sha256 INTO unclean
      FROM "migrate_lock".migration_lock_unclean_end AS ended
     WHERE run_key = p_run_key
       AND (SELECT run.succeeded
              FROM "migrate_lock".migration_lock_run AS run
             WHERE run.run_key = p_run_key AND run.command_sha256 = ended.command_sha256)
           IS NOT TRUE  -- mark: watched-ended
     ORDER BY ended_at DESC LIMIT 1;

    done := success.run_key IS NOT NULL AND failure.run_key IS NULL AND unclean IS NULL AND NOT awaited;  -- mark: watched-done
    RETURN jsonb_build_object(
        'done', done,
        'success', CASE WHEN success.run_key IS NOT NULL THEN "migrate_lock".describe_run(success) END,
        'failure', CASE WHEN failure.run_key IS NOT NULL THEN "migrate_lock".describe_run(failure) END,
        'failedAgoMs', "migrate_lock".ms_between(failure.finished_at, clock_timestamp()),
        'uncleanEnd', "migrate_lock".unclean_end(unclean),
        'isAwaited', awaited,
        'holder', CASE WHEN lease.released_at IS NULL AND lease.expires_at > clock_timestamp()
                       THEN "migrate_lock".describe(lease) END,
        'watchers', CASE WHEN current_setting('transaction_read_only') = 'off'
                         THEN "migrate_lock".count_watchers(p_watcher, done OR p_last IS TRUE) END);
END
$body$;

-- Announces a watcher for two minutes, and again after one of them, or removes it. Answers how many there are, the caller included. At
-- most 1000 of a role are counted, because watchers that do not exist make the others read less often; each role has rows of its
-- own. No call waits for a row.
CREATE OR REPLACE FUNCTION "migrate_lock".count_watchers(p_watcher text, p_last boolean) RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    moment     timestamptz := clock_timestamp();
    counts_for interval    := '2 minutes';
    mine       timestamptz := (SELECT counts_until FROM "migrate_lock".migration_lock_watcher
                                WHERE db_role = session_user AND watcher = p_watcher);
    others     bigint;
    of_my_role bigint;
BEGIN
    SELECT count(*), count(*) FILTER (WHERE db_role = session_user) INTO others, of_my_role
      FROM "migrate_lock".migration_lock_watcher
     WHERE counts_until > moment AND NOT (db_role = session_user AND watcher = p_watcher);
    IF p_last OR (mine IS NULL AND of_my_role < 1000) THEN  -- mark: watchers-bounded
        -- Those that do not count any more go too; a clock that stepped back leaves some whose time lies far ahead.
        DELETE FROM "migrate_lock".migration_lock_watcher
         WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM "migrate_lock".migration_lock_watcher
              WHERE (db_role = session_user AND watcher = p_watcher)  -- mark: forgets-own-watcher
                 OR counts_until <= moment OR counts_until > moment + 2 * counts_for
                FOR UPDATE SKIP LOCKED));
    END IF;
    IF NOT p_last AND mine IS NULL AND of_my_role < 1000 THEN
        INSERT INTO "migrate_lock".migration_lock_watcher (db_role, watcher, counts_until)
        VALUES (session_user, p_watcher, moment + counts_for)
        ON CONFLICT DO NOTHING;
    ELSIF NOT p_last AND mine - moment NOT BETWEEN counts_for / 2 AND counts_for THEN
        UPDATE "migrate_lock".migration_lock_watcher SET counts_until = moment + counts_for
         WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM "migrate_lock".migration_lock_watcher
              WHERE db_role = session_user AND watcher = p_watcher
                FOR UPDATE SKIP LOCKED));
    END IF;
    RETURN others + 1;
END
$body$;
