-- How a call begins. version() is the first call of a program. begin_change() comes first in every function that changes something:
-- it promises that no argument which the function needs is NULL, and that no setting of the role or of the database breaks the
-- lock. Functions that are not SECURITY DEFINER are parts of those that are: there they have the owner's rights and search_path. A
-- role that calls one directly can do nothing with it that it could not do without it.

-- Which version of the lock schema this is. It works for a role that may read no table.
CREATE OR REPLACE FUNCTION "migrate_lock".version() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object('version', version, 'oldestProgram', oldest_program)
      FROM "migrate_lock".migration_lock_version
$body$;

-- Refuses a request that cannot be right, or may not be made. ML001 is a code of our own: PostgreSQL does not use the class ML.
CREATE OR REPLACE FUNCTION "migrate_lock".refuse(p_message text, p_hint text, p_code text DEFAULT 'ML001') RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    RAISE EXCEPTION USING MESSAGE = left(p_message, 200), HINT = left(p_hint, 200), ERRCODE = p_code;
END
$body$;

-- p_missing: how many needed arguments are NULL. p_orphans and p_seen: see settle_orphans().
CREATE OR REPLACE FUNCTION "migrate_lock".begin_change(
    p_missing integer, p_orphans text DEFAULT 'ignore', p_seen jsonb DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF p_missing IS DISTINCT FROM 0 THEN
        PERFORM "migrate_lock".refuse('an argument is NULL', 'Give every argument that the function needs.');
    ELSIF (p_orphans IN ('terminate', 'wait', 'list', 'ignore')) IS NOT TRUE
       OR (p_seen IS NOT NULL AND (jsonb_typeof(p_seen) <> 'array' OR octet_length(p_seen::text) > 1000000)) THEN
        PERFORM "migrate_lock".refuse('the policy for orphans is not known', 'It is terminate, wait, list or ignore.');
    ELSIF current_setting('transaction_isolation') IS DISTINCT FROM 'read committed' THEN
        -- Under a snapshot of the whole transaction a lock that was taken since would be invisible.
        RAISE EXCEPTION 'migrate-lock needs READ COMMITTED, not %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- A transaction whose client is behind a dead link must not keep the row locked. changed_by: what this statement changes,
    -- it also records; see record_manipulation(). set_config() counts at commit; a SET clause of a function ends with it.
    PERFORM set_config('lock_timeout', '2s', true), set_config('idle_in_transaction_session_timeout', '5s', true),
            set_config('migrate_lock.changed_by', statement_timestamp()::text, true),
            -- A lease that a crash of the server loses while its child runs would let a second child start.
            CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
                 THEN set_config('synchronous_commit', 'on', true) END;
END
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".refuse_ttl(p_ttl_ms bigint, p_longest_ms bigint) RETURNS void
    LANGUAGE sql
AS $body$
    SELECT "migrate_lock".refuse(
        format('a lease of %s ms is not allowed: this lock allows at most %s ms', p_ttl_ms, p_longest_ms),
        'Ask for less, or let the owner of the lock raise the limit with migrate-lock init --max-ttl.')
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".refuse_member() RETURNS void
    LANGUAGE sql
AS $body$
    SELECT "migrate_lock".refuse(
        format('the role %s is not admitted to this lock itself', session_user),
        'Rights that come from a group are not enough: let the owner of the lock run migrate-lock init --grant-to.', '42501')
$body$;

-- Times leave the database as milliseconds since the start ('epoch': 1970), whatever DateStyle and TimeZone are. The end of a
-- lease that was set to infinity by hand counts as a moment later than all others, so that status() and unlock() work on it.
CREATE OR REPLACE FUNCTION "migrate_lock".ms_between(start timestamptz, finish timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE
AS $body$
BEGIN
    RETURN CASE
        WHEN NOT (isfinite(start) AND isfinite(finish)) THEN CASE WHEN finish > start THEN 10000000000000000 ELSE -10000000000000000 END
        ELSE floor(extract(epoch FROM finish - start) * 1000)::bigint
    END;
END
$body$;
