-- The database sessions of a lease: whose they can be, which they are, and how they end. A session bears its lease's name in its
-- application_name, or is in a transaction that has called assert_held(). Before a lease changes hands its sessions have ended,
-- and no session of a role that has nothing to do with it is touched.

-- The role that acquired the lease, and those that the owner has named for the commands of its runs. (In a SECURITY DEFINER
-- function the current user is the owner. A role that can act as the owner, such as a superuser, is a MEMBER of it.)
CREATE OR REPLACE FUNCTION "migrate_lock".lease_roles(lease "migrate_lock".migration_lock) RETURNS oid[]
    LANGUAGE sql STABLE
AS $body$
    SELECT own.role || coalesce((
               SELECT child_roles FROM "migrate_lock".migration_lock_role
                WHERE role = own.role OR (role = 0 AND pg_has_role(own.role, current_user, 'MEMBER'))
                ORDER BY cardinality(child_roles) DESC
                LIMIT 1), '{}')
      FROM (SELECT to_regrole(quote_ident(lease.db_role))::oid AS role) AS own
$body$;

-- Whether a session is one of the lease, whose lease_roles() are given. The application_name is "migrate-lock:<id>", or
-- "migrate-lock:<outer id>:<id>" inside another run. Any client can give itself a name, so only sessions of the lease's roles and
-- of roles that can act as the owner count. Only in the simple setup, where the owner itself migrates and has named no child role,
-- any role counts: safety comes before availability there.
CREATE OR REPLACE FUNCTION "migrate_lock".is_of_lease(
    lease "migrate_lock".migration_lock, roles oid[], p_role oid, p_name text, p_asserts boolean
) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT (p_asserts
            OR starts_with(p_name, 'migrate-lock:')
               AND lease.instance_id = ANY (string_to_array(substr(p_name, 14), ':')))
       AND (p_role = ANY (roles)
            OR pg_has_role(p_role, current_user, 'MEMBER')
            OR (cardinality(roles) = 1 AND pg_has_role(roles[1], current_user, 'MEMBER')))
$body$;

-- The process ids of at most 100 sessions of the lease, of whatever role. Only a pooler has an idle session that is older than the
-- lease: it may belong to another client by now.
CREATE OR REPLACE FUNCTION "migrate_lock".lease_pids(lease "migrate_lock".migration_lock) RETURNS integer[]
    LANGUAGE plpgsql STABLE
AS $body$
DECLARE
    roles oid[] := "migrate_lock".lease_roles(lease);
BEGIN
    RETURN ARRAY (
        SELECT pid
          FROM pg_stat_get_activity(NULL)
         WHERE pid <> pg_backend_pid()
           AND "migrate_lock".is_of_lease(lease, roles, usesysid, application_name, pid IN (
                   SELECT held.pid FROM pg_locks AS held
                    WHERE held.mode = 'RowShareLock' AND held.granted
                      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND held.relation = to_regclass(format('%I.migration_lock_assertion', 'migrate_lock'))))
           AND (state = 'idle' AND backend_start < lease.locked_at) IS NOT TRUE
           AND backend_type IS DISTINCT FROM 'parallel worker'
         -- In the simple setup every role can give itself the lease's name: its sessions must not take the place of the command's.
         ORDER BY usesysid = ANY (roles) DESC, pid
         LIMIT 100);
END
$body$;

-- Ends the orphans of a lease, or waits for them. p_orphans is
--   terminate  on a direct connection: a session with the lease's name is the lease's, also when it is idle. It is ended
--   wait       behind a pooler, which lends a session with its name to other clients: only transactions that were open at the first
--              call count (p_seen: its answer), and none is ended
--   list       the caller does not know yet which of these it needs: the sessions are only listed
--   ignore     they do not count
-- A role cannot ignore a transaction that began under another role's lease.
-- Answers null when none is left, else {"sessions": [...], "denied": how many we may not end}.
CREATE OR REPLACE FUNCTION "migrate_lock".settle_orphans(lease "migrate_lock".migration_lock, p_orphans text, p_seen jsonb)
    RETURNS jsonb
    LANGUAGE plpgsql
AS $body$
DECLARE
    roles     oid[];
    asserting integer[];
    are_named boolean;
    is_own    boolean;
    session   record;
    sessions  jsonb     := '[]';
    ended     integer[] := '{}';
    denied    integer   := 0;
    shown     jsonb;
BEGIN
    -- asserting: open transactions that have called assert_held(). No other lease can be acquired before they end, so they are of
    -- this one. (Not the views pg_locks and pg_stat_activity: their planning would make every release slower.)
    SELECT coalesce((
               SELECT array_agg(pid)
                 FROM pg_lock_status()
                WHERE locktype = 'relation' AND mode = 'RowShareLock' AND granted
                  AND relation = to_regclass(format('%I.migration_lock_assertion', 'migrate_lock'))
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())), '{}'),
           EXISTS (SELECT FROM pg_stat_get_activity(NULL) WHERE starts_with(application_name, 'migrate-lock:'))
      INTO asserting, are_named;
    IF asserting = '{}' AND NOT are_named THEN
        RETURN NULL;  -- the usual case: there is no session of any lease
    END IF;
    roles  := "migrate_lock".lease_roles(lease);
    is_own := (to_regrole(quote_ident(session_user)) = ANY (roles) OR pg_has_role(session_user, current_user, 'MEMBER')) IS TRUE;
    IF p_orphans = 'ignore' THEN
        IF is_own THEN
            RETURN NULL;
        END IF;
        p_orphans := 'wait';
        p_seen    := '[]';
    END IF;
    -- The sessions of the lease but the caller's own. Without pg_read_all_stats PostgreSQL hides what other roles' sessions do
    -- (NULL): hidden counts as alive.
    FOR session IN
        SELECT activity.pid, activity.usesysid, activity.client_addr, activity.state, activity.xact_start,
               activity.pid = ANY (asserting) AS asserts, activity.backend_start < lease.locked_at AS is_older
          FROM pg_stat_get_activity(NULL) AS activity
         WHERE activity.pid <> pg_backend_pid()
           AND "migrate_lock".is_of_lease(
                   lease, roles, activity.usesysid, activity.application_name, activity.pid = ANY (asserting))
    LOOP
        shown := jsonb_build_object(
            'pid', session.pid, 'role', pg_get_userbyid(session.usesysid), 'client', host(session.client_addr),
            'state', session.state,
            'since', extract(epoch FROM session.xact_start)::text,
            'openMs', "migrate_lock".ms_between(session.xact_start, clock_timestamp()));
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
                AND (is_own OR session.xact_start > lease.expires_at)
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
