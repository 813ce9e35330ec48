-- The database sessions that work under a lease, the caller's own excepted: those whose application_name carries the
-- lease's instance id ("migrate-lock:<id>", or "migrate-lock:<outer id>:<id>"), and those in an assert_held transaction.
-- Of other roles than the lease's they count only where its role can do all that the owner can: anybody may give himself a
-- name. What they do may be hidden from us (NULL): not knowing means live. (The functions under pg_stat_activity and pg_locks:
-- every release looks here, and the views take several times as long to plan.)
CREATE OR REPLACE FUNCTION "migrate_lock".sessions_of(lease "migrate_lock".migration_lock)
    RETURNS TABLE (pid integer, role text, state text, in_transaction_since timestamptz, asserts boolean, is_older boolean)
    LANGUAGE sql VOLATILE
AS $body$
    WITH asserting AS (
        -- The mark alone could be an application's own advisory lock; with a lock on our table it is not.
        SELECT mark.pid
          FROM pg_lock_status() AS mark
         WHERE mark.locktype = 'advisory'
           AND mark.database = (SELECT datid FROM pg_stat_get_activity(pg_backend_pid()))
           AND mark.classid = "migrate_lock".assert_class()::oid
           AND mark.objid = "migrate_lock".assert_object(lease.fencing_token)::oid
           AND mark.objsubid = 2
           AND EXISTS (
               SELECT FROM pg_lock_status() AS used
                WHERE used.pid = mark.pid AND used.locktype = 'relation' AND used.relation = (
                      SELECT tableoid FROM "migrate_lock".migration_lock WHERE id = 1))
    )
    SELECT session.pid, pg_get_userbyid(session.usesysid)::text, session.state, session.xact_start,
           session.pid IN (SELECT asserting.pid FROM asserting), session.backend_start < lease.locked_at
      FROM pg_stat_get_activity(NULL) AS session
     WHERE session.pid <> pg_backend_pid()
       AND (pg_get_userbyid(session.usesysid) = ANY ("migrate_lock".roles_of(lease))
            OR "migrate_lock".is_owner(lease.db_role))
       AND (session.pid IN (SELECT asserting.pid FROM asserting)
            OR starts_with(session.application_name, 'migrate-lock:')
               AND lease.instance_id = ANY (string_to_array(substr(session.application_name, 14), ':')))
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".sessions_of("migrate_lock".migration_lock) FROM PUBLIC;

-- Ends, or waits for, the sessions of a lease whose holder no longer speaks for it. p_policy is
--   {"orphans": "terminate"}              a direct connection: whoever carries the tag is the lease's, idle ones too
--   {"orphans": "wait", "seen": [...]}    a pooler hands tags on to strangers: only the transactions that ran at the
--                                         first look ("seen", as answered then) count, and nothing is touched
--   {"orphans": "look"}                    the caller does not know yet which of these it needs: they are only told
--   {"orphans": "ignore"}
-- What the caller may not decide of another role's lease: to ignore a transaction that began under it.
-- Answers null when nothing is left, else {"sessions": [...], "denied": how many we may not end}.
CREATE OR REPLACE FUNCTION "migrate_lock".settle_orphans(lease "migrate_lock".migration_lock, p_policy jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    policy   text := coalesce(p_policy ->> 'orphans', 'terminate');
    seen     jsonb := p_policy -> 'seen';
    session  record;
    sessions jsonb := '[]';
    ended    integer[] := '{}';
    denied   integer := 0;
    told     jsonb;
    is_own   boolean;
BEGIN
    IF policy = 'ignore' THEN
        IF "migrate_lock".works_under(lease) THEN
            RETURN NULL;
        END IF;
        policy := 'wait';
        seen   := '[]';
    END IF;
    -- Almost always there is nobody, of whatever lease, and every release asks: that is found out with less.
    IF NOT EXISTS (
           SELECT FROM pg_stat_get_activity(NULL) AS any_session
            WHERE starts_with(any_session.application_name, 'migrate-lock:'))
       AND NOT EXISTS (
           SELECT FROM pg_lock_status() AS mark
            WHERE mark.locktype = 'advisory' AND mark.classid = "migrate_lock".assert_class()::oid) THEN
        RETURN NULL;
    END IF;
    is_own := "migrate_lock".works_under(lease);
    FOR session IN SELECT * FROM "migrate_lock".sessions_of(lease) LOOP
        told := jsonb_build_object('pid', session.pid, 'role', session.role, 'state', session.state,
            'since', extract(epoch FROM session.in_transaction_since)::text);
        IF policy = 'terminate' THEN
            -- Only a pooler lends a session that is older than the lease to the lease's command.
            CONTINUE WHEN session.is_older AND NOT session.asserts;
            BEGIN
                PERFORM pg_terminate_backend(session.pid);
                ended := ended || session.pid;
            EXCEPTION WHEN insufficient_privilege THEN
                denied := denied + 1;
            END;
        ELSIF policy = 'wait' AND NOT session.asserts THEN
            CONTINUE WHEN session.state = 'idle';
            CONTINUE WHEN seen IS NOT NULL
                AND (is_own OR session.in_transaction_since > lease.expires_at)
                AND NOT seen @> jsonb_build_array(
                    jsonb_build_object('pid', session.pid, 'since', told -> 'since'));
        END IF;
        sessions := sessions || told;
    END LOOP;
    IF cardinality(ended) > 0 THEN
        UPDATE "migrate_lock".migration_lock
           SET ended_pids = ARRAY (SELECT DISTINCT unnest(ended_pids || ended))
         WHERE id = 1 AND fencing_token = lease.fencing_token;
    END IF;
    IF sessions = '[]' THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('sessions', sessions, 'denied', denied);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".settle_orphans("migrate_lock".migration_lock, jsonb) FROM PUBLIC;
