-- What the database sessions of the lease do, and what they wait for.

-- Reports, with the owner's rights, at most 100 sessions of a lease that was not released: {"instanceId": ..., "sessions": [...]}.
-- Of what blocks them it has pid (0: a prepared transaction), role, application name and the age of the transaction. It has no
-- statement: PostgreSQL shows those to roles that may see them. Null: there is no lease, or this is a replica.
CREATE OR REPLACE FUNCTION "migrate_lock".activity() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease    "migrate_lock".migration_lock;
    pids     integer[];
    moment   timestamptz := clock_timestamp();
    view_    text;
    one      jsonb;
    progress jsonb := '{}';
BEGIN
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 AND released_at IS NULL;
    IF lease.id IS NULL OR pg_is_in_recovery() THEN
        RETURN NULL;
    END IF;
    pids := "migrate_lock".lease_pids(lease);
    -- By name, as a server may have fewer of these views.
    FOR view_ IN
        SELECT relname FROM pg_class
         WHERE relnamespace = 'pg_catalog'::regnamespace AND cardinality(pids) > 0
           AND relname ~ '^pg_stat_progress_(create_index|vacuum|cluster|analyze|copy)$'
    LOOP
        EXECUTE format(
            'SELECT jsonb_object_agg(pid, to_jsonb(shown) || jsonb_build_object(''kind'', $1,
                        ''object'', CASE WHEN datname = current_database() THEN nullif(relid, 0)::regclass::text END))
               FROM %I AS shown WHERE pid = ANY ($2)', view_) USING substr(view_, 18), pids INTO one;
        progress := progress || coalesce(one, '{}');
    END LOOP;
    RETURN jsonb_build_object('instanceId', lease.instance_id, 'sessions', (
        WITH RECURSIVE session AS MATERIALIZED (
            SELECT * FROM pg_stat_get_activity(NULL)
        ), held AS MATERIALIZED (
            SELECT *, to_jsonb(pg_locks) ->> 'waitstart' AS since  -- from PostgreSQL 14 on
              FROM pg_locks
             WHERE NOT granted OR (pid = ANY (pids) AND locktype = 'tuple')
        ), edge AS MATERIALIZED (
            -- pg_blocking_pids() holds up other lock requests for a moment.
            SELECT DISTINCT waiter.pid, blocker
              FROM (SELECT pid FROM held WHERE NOT granted GROUP BY pid ORDER BY pid = ANY (pids) DESC LIMIT 100) AS waiter,
                   unnest(pg_blocking_pids(waiter.pid)) AS blocker
        ), queue (head, pid) AS (
            SELECT blocker, pid FROM edge WHERE blocker = ANY (pids)
            UNION
            SELECT queue.head, edge.pid FROM queue JOIN edge ON edge.blocker = queue.pid
        )
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'pid', session.pid, 'role', pg_get_userbyid(usesysid), 'client', host(client_addr), 'state', state,
                   'stateMs', "migrate_lock".ms_between(state_change, moment),
                   'openMs', "migrate_lock".ms_between(xact_start, moment),
                   'waitEvent', wait_event_type || ': ' || wait_event,
                   'waiting', (
                       -- A row is waited for by its number in a table, which the waiter has locked.
                       SELECT jsonb_build_object(
                                  'lock', wanted.locktype, 'mode', wanted.mode,
                                  'object', (SELECT min(lock.relation::regclass::text) FROM held AS lock
                                              WHERE lock.pid = wanted.pid
                                                AND lock.database = (SELECT oid FROM pg_database
                                                                      WHERE datname = current_database())),
                                  'ms', "migrate_lock".ms_between(wanted.since::timestamptz, moment),
                                  'blockers', (
                                      SELECT coalesce(jsonb_agg(jsonb_build_object(
                                                 'pid', blocker, 'role', pg_get_userbyid(other.usesysid),
                                                 'application', other.application_name,
                                                 'openMs', "migrate_lock".ms_between(other.xact_start, moment),
                                                 'isOwn', blocker = ANY (pids)) ORDER BY other.xact_start), '[]')
                                        FROM (SELECT * FROM edge WHERE edge.pid = wanted.pid LIMIT 10) AS edge
                                        LEFT JOIN session AS other ON other.pid = blocker))
                         FROM held AS wanted
                        -- PostgreSQL reads sessions and locks one after the other: a session that it read as idle began to wait later.
                        WHERE wanted.pid = session.pid AND NOT wanted.granted AND (state LIKE 'idle%') IS NOT TRUE
                        LIMIT 1),
                   'queued', (SELECT count(*) FROM queue WHERE head = session.pid AND queue.pid <> ALL (pids)),
                   'progress', progress -> session.pid::text) ORDER BY session.pid), '[]')
          FROM session
         WHERE session.pid = ANY (pids)));
END
$body$;
