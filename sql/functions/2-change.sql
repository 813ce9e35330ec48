-- Functions that are not SECURITY DEFINER are parts of those that are: there, the rights and the search_path are the
-- owner's. Called by somebody else, they can do nothing that he could not do by himself.

-- What every call that changes something begins with: settings of the role or the database that would break the
-- promise are put right for this transaction, and what cannot be put right from inside a function is refused.
CREATE OR REPLACE FUNCTION "migrate_lock".begin_change() RETURNS void
    LANGUAGE plpgsql
AS $body$
DECLARE
    setting text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- Under a snapshot of the whole transaction a lock taken meanwhile would be invisible.
        RAISE EXCEPTION 'migrate-lock needs READ COMMITTED, not %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    -- A lease lost in a crash of the server while its child runs on would let a second child start.
    -- set_config counts at commit; a SET clause of a function would be over by then.
    IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
        setting := set_config('synchronous_commit', 'on', true);
    END IF;
    -- A transaction whose client is gone behind a dead link must not keep the row locked. And what this statement changes, it
    -- also writes into the history: see migration_lock_manipulated.
    setting := set_config('lock_timeout', '2s', true) || set_config('idle_in_transaction_session_timeout', '5s', true)
        || set_config('migrate_lock.changed_by', statement_timestamp()::text, true);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".begin_change() FROM PUBLIC;

-- Times leave the database as milliseconds since 1970, whatever DateStyle and TimeZone say.
CREATE OR REPLACE FUNCTION "migrate_lock".epoch_ms(moment timestamptz) RETURNS bigint
    LANGUAGE sql STABLE
AS $body$
    SELECT floor(extract(epoch FROM moment) * 1000)::bigint
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".epoch_ms(timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION "migrate_lock".ms_between(start timestamptz, finish timestamptz) RETURNS bigint
    LANGUAGE sql STABLE
AS $body$
    SELECT floor(extract(epoch FROM finish - start) * 1000)::bigint
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".ms_between(timestamptz, timestamptz) FROM PUBLIC;
