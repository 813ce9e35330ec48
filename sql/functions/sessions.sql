-- The database sessions of a lease: who may have some, which they are, and how they end. A session bears its lease's name in its
-- application_name, or is in a transaction that has called assert_held().

-- Whether a role can do all that the owner of the lock can: the owner, its members, a superuser. (In a SECURITY DEFINER
-- function the current user is the owner.)
CREATE OR REPLACE FUNCTION "migrate_lock".is_owner(p_db_role text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT coalesce((SELECT pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = p_db_role), false)
$body$;

-- The roles that the owner has named for the commands of a lease's runs.
CREATE OR REPLACE FUNCTION "migrate_lock".child_roles(lease "migrate_lock".migration_lock) RETURNS oid[]
    LANGUAGE sql STABLE
AS $body$
    SELECT coalesce((
        SELECT child_roles FROM "migrate_lock".migration_lock_role
         WHERE role = (SELECT oid FROM pg_roles WHERE rolname = lease.db_role)
            OR (role = 0 AND "migrate_lock".is_owner(lease.db_role))
         ORDER BY cardinality(child_roles) DESC
         LIMIT 1), '{}')
$body$;

-- Whether sessions of this role can be the lease's: its own role, its child roles, and roles that can act as the owner. Any
-- client can give itself a name, so a lease must not reach the sessions of other roles. Only in the simple setup, where the
-- owner itself migrates and has named no child role, any role counts: safety comes before availability there.
CREATE OR REPLACE FUNCTION "migrate_lock".counts(lease "migrate_lock".migration_lock, p_role oid) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT (pg_get_userbyid(p_role) = lease.db_role
            OR p_role = ANY ("migrate_lock".child_roles(lease))
            OR "migrate_lock".is_owner(pg_get_userbyid(p_role)::text)
            OR ("migrate_lock".is_owner(lease.db_role) AND cardinality("migrate_lock".child_roles(lease)) = 0)) IS TRUE
$body$;

-- Whether the caller is one of the lease's own roles, or can act as the owner.
CREATE OR REPLACE FUNCTION "migrate_lock".works_under(lease "migrate_lock".migration_lock) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT (session_user = lease.db_role
            OR (SELECT oid FROM pg_roles WHERE rolname = session_user) = ANY ("migrate_lock".child_roles(lease))
            OR "migrate_lock".is_owner(session_user::text)) IS TRUE
$body$;

-- The process ids of transactions that have called assert_held() and are still open: they belong to the present lease, as no
-- other one can be acquired before they end.
CREATE OR REPLACE FUNCTION "migrate_lock".asserting() RETURNS SETOF integer
    LANGUAGE sql VOLATILE
AS $body$
    SELECT held.pid
      FROM pg_lock_status() AS held
     WHERE held.locktype = 'relation' AND held.mode = 'RowShareLock' AND held.granted
       AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND held.relation = (
           SELECT oid FROM pg_class
            WHERE relname = 'migration_lock_assertion' AND relnamespace = "migrate_lock".home())
$body$;

-- The sessions of a lease but the caller's own. The application_name is "migrate-lock:<id>", or "migrate-lock:<outer id>:<id>"
-- inside another run. Without pg_read_all_stats PostgreSQL hides what other roles' sessions do (NULL): hidden counts as alive.
-- (The function under pg_stat_activity: the view takes several times as long to plan, and every release looks here.)
CREATE OR REPLACE FUNCTION "migrate_lock".sessions_of(lease "migrate_lock".migration_lock)
    RETURNS TABLE (pid integer, role text, client text, state text, in_transaction_since timestamptz, asserts boolean,
                   is_older boolean)
    LANGUAGE sql VOLATILE
AS $body$
    SELECT session.pid, pg_get_userbyid(session.usesysid)::text, host(session.client_addr), session.state,
           session.xact_start, session.pid = ANY (assertion.pids), session.backend_start < lease.locked_at
      FROM pg_stat_get_activity(NULL) AS session, (SELECT ARRAY (SELECT "migrate_lock".asserting()) AS pids) AS assertion
     WHERE session.pid <> pg_backend_pid()
       AND (session.pid = ANY (assertion.pids)
            OR starts_with(session.application_name, 'migrate-lock:')
               AND lease.instance_id = ANY (string_to_array(substr(session.application_name, 14), ':')))
       AND "migrate_lock".counts(lease, session.usesysid)
$body$;

-- Refuses a policy that settle_orphans() does not know.
CREATE OR REPLACE FUNCTION "migrate_lock".check_orphans(p_orphans text, p_seen jsonb) RETURNS void
    LANGUAGE plpgsql
AS $body$
BEGIN
    IF (p_orphans IN ('terminate', 'wait', 'look', 'ignore')) IS NOT TRUE
       OR (p_seen IS NOT NULL AND (jsonb_typeof(p_seen) <> 'array' OR octet_length(p_seen::text) > 1000000)) THEN
        PERFORM "migrate_lock".refuse('the policy for orphans is not known', 'It is terminate, wait, look or ignore.');
    END IF;
END
$body$;

-- Ends the orphans of a lease whose holder no longer speaks for it, or waits for them. p_orphans is
--   terminate  a direct connection: a session with the lease's name is the lease's, also when it is idle
--   wait       a pooler lends a session with its name to strangers: only transactions that were open at the first look
--              (p_seen, as it was answered then) count, and none is ended
--   look       the caller does not know yet which of these it needs: it only learns of them
--   ignore
-- A role cannot ignore a transaction that began under another role's lease.
-- Answers null when none is left, else {"sessions": [...], "denied": how many we may not end}.
CREATE OR REPLACE FUNCTION "migrate_lock".settle_orphans(lease "migrate_lock".migration_lock, p_orphans text, p_seen jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    is_own   boolean;
    session  record;
    sessions jsonb     := '[]';
    ended    integer[] := '{}';
    denied   integer   := 0;
    shown    jsonb;
BEGIN
    -- Mostly there is none, of any lease.
    IF NOT EXISTS (
           SELECT FROM pg_stat_get_activity(NULL) AS named WHERE starts_with(named.application_name, 'migrate-lock:'))
       AND NOT EXISTS (SELECT FROM "migrate_lock".asserting()) THEN
        RETURN NULL;
    END IF;
    is_own := "migrate_lock".works_under(lease);
    IF p_orphans = 'ignore' THEN
        IF is_own THEN
            RETURN NULL;
        END IF;
        p_orphans := 'wait';
        p_seen    := '[]';
    END IF;
    FOR session IN SELECT * FROM "migrate_lock".sessions_of(lease) LOOP
        shown := jsonb_build_object(
            'pid', session.pid, 'role', session.role, 'client', session.client, 'state', session.state,
            'since', extract(epoch FROM session.in_transaction_since)::text,
            'openMs', "migrate_lock".ms_between(session.in_transaction_since, clock_timestamp()));
        IF p_orphans = 'terminate' THEN
            -- Only a pooler lends a session that is older than the lease to the lease's command.
            CONTINUE WHEN session.is_older AND NOT session.asserts;
            BEGIN
                PERFORM pg_terminate_backend(session.pid);
                ended := ended || session.pid;
            EXCEPTION WHEN insufficient_privilege THEN
                denied := denied + 1;
            END;
        ELSIF p_orphans = 'wait' AND NOT session.asserts THEN
            CONTINUE WHEN session.state = 'idle';
            CONTINUE WHEN p_seen IS NOT NULL
                AND (is_own OR session.in_transaction_since > lease.expires_at)
                AND NOT p_seen @> jsonb_build_array(
                    jsonb_build_object('pid', session.pid, 'since', shown -> 'since'));
        END IF;
        sessions := sessions || shown;
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
