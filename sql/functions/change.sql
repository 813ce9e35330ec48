-- What every function builds on. Functions that are not SECURITY DEFINER are parts of those that are: there they have the
-- owner's rights and search_path. A role that calls one directly can do nothing with it that it could not do by itself.

-- The first look of every program: which version this is. It works for a role that may read no table.
CREATE OR REPLACE FUNCTION "migrate_lock".version() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object('version', version, 'oldestProgram', oldest_program)
      FROM "migrate_lock".migration_lock_version
$body$;

-- Refuses a request that cannot be right, with a code of our own: PostgreSQL does not use the class ML.
CREATE OR REPLACE FUNCTION "migrate_lock".refuse(p_message text, p_hint text) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    RAISE EXCEPTION USING MESSAGE = left(p_message, 200), HINT = left(p_hint, 200), ERRCODE = 'ML001';
END
$body$;

-- Every function that a role may call begins with this: no argument that it needs is NULL, so that no decision is unknown.
CREATE OR REPLACE FUNCTION "migrate_lock".require(p_missing integer) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF p_missing IS DISTINCT FROM 0 THEN
        PERFORM "migrate_lock".refuse('an argument is NULL', 'Give every argument that the function needs.');
    END IF;
END
$body$;

-- What every call that changes something does first: it corrects settings of the role or the database that would break the
-- promise, for this transaction, and refuses those that a function cannot correct.
CREATE OR REPLACE FUNCTION "migrate_lock".begin_change() RETURNS void
    LANGUAGE plpgsql
AS $body$
DECLARE
    setting text;
BEGIN
    IF current_setting('transaction_isolation') IS DISTINCT FROM 'read committed' THEN
        -- Under a snapshot of the whole transaction a lock that was taken since would be invisible.
        RAISE EXCEPTION 'migrate-lock needs READ COMMITTED, not %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- A lease that a crash of the server loses while its child runs would let a second child start. set_config() counts at
    -- commit; a SET clause of a function ends with the function.
    IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
        setting := set_config('synchronous_commit', 'on', true);
    END IF;
    -- A transaction whose client is behind a dead link must not keep the row locked. changed_by: what this statement changes,
    -- it also records; see record_manipulation().
    setting := set_config('lock_timeout', '2s', true) || set_config('idle_in_transaction_session_timeout', '5s', true)
        || set_config('migrate_lock.changed_by', statement_timestamp()::text, true);
END
$body$;

-- Times leave the database as milliseconds since 1970, whatever DateStyle and TimeZone are. The end of a lease that was set to
-- infinity by hand is a moment later than all others: a lease that nobody could look at could not be broken either.
CREATE OR REPLACE FUNCTION "migrate_lock".epoch_ms(moment timestamptz) RETURNS bigint
    LANGUAGE sql STABLE
AS $body$
    SELECT CASE
        WHEN moment = 'infinity' THEN 10000000000000000
        WHEN moment = '-infinity' THEN -10000000000000000
        ELSE floor(extract(epoch FROM moment) * 1000)::bigint
    END
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".ms_between(start timestamptz, finish timestamptz) RETURNS bigint
    LANGUAGE sql STABLE
AS $body$
    SELECT CASE
        WHEN finish = 'infinity' OR start = '-infinity' THEN 10000000000000000
        WHEN finish = '-infinity' OR start = 'infinity' THEN -10000000000000000
        ELSE floor(extract(epoch FROM finish - start) * 1000)::bigint
    END
$body$;
