-- Which sessions wait for those of the lease, for `run --max-block`, and how one of the lease's sessions is kept from blocking.

-- The client sessions that wait for one of p_pids, directly or through others: one row for each of p_pids that blocks it. since: when
-- that wait began; null before PostgreSQL 14. transaction: that of the waiting session. Not counted are
--   what waits behind another one of p_pids
--   sessions of migrate-lock and of its commands
--   a session that waits for an advisory lock: a migration tool has one for others to wait for
--   a session that waits for every older transaction, as CREATE INDEX CONCURRENTLY of any table does; those behind it count
CREATE OR REPLACE FUNCTION "migrate_lock".waits_behind(p_pids integer[])
    RETURNS TABLE (head integer, pid integer, since timestamptz, transaction text, object text)
    LANGUAGE plpgsql STABLE
AS $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE held AS MATERIALIZED (
        SELECT *, (to_jsonb(pg_locks) ->> 'waitstart')::timestamptz AS since
          FROM pg_locks
         WHERE NOT granted OR locktype = 'tuple' OR pid = ANY (p_pids)
    ), wanted AS MATERIALIZED (
        SELECT waiter.pid, waiter.since, waiter.locktype, waiter.virtualtransaction AS transaction, (
                   -- A row is waited for by its number in a table, which the waiter has locked.
                   SELECT min(lock.relation::regclass::text) FROM held AS lock
                    WHERE lock.pid = waiter.pid
                      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS object
          FROM held AS waiter
         WHERE NOT granted AND locktype <> 'advisory' AND pid <> ALL (p_pids)
         -- pg_blocking_pids() delays other lock requests for a moment, so at most 100 are examined: first those that want what one of
         -- p_pids has or wants; last those that only read a table, which block few others.
         ORDER BY EXISTS (
                      SELECT FROM held AS lock
                       WHERE lock.pid = ANY (p_pids) AND lock.locktype = waiter.locktype
                         AND (lock.mode <> 'AccessShareLock' OR waiter.mode = 'AccessExclusiveLock')
                         AND (lock.database, lock.relation, lock.transactionid, lock.virtualxid)
                             IS NOT DISTINCT FROM (waiter.database, waiter.relation, waiter.transactionid, waiter.virtualxid)) DESC,
                  waiter.since
         LIMIT 100
    ), edge AS MATERIALIZED (
        SELECT DISTINCT wanted.pid, wanted.since, blocker FROM wanted, unnest(pg_blocking_pids(wanted.pid)) AS blocker
    ), queue (head, pid, since) AS (
        SELECT blocker, pid, since FROM edge WHERE blocker = ANY (p_pids)
        UNION
        -- A session that waits for a waiter waits for the head only since that waiter does.
        SELECT queue.head, edge.pid, CASE WHEN num_nulls(queue.since, edge.since) = 0 THEN greatest(queue.since, edge.since) END
          FROM queue JOIN edge ON edge.blocker = queue.pid
    )
    SELECT queue.head, queue.pid, min(queue.since), min(wanted.transaction), min(wanted.object)
      FROM queue
      JOIN wanted ON wanted.pid = queue.pid
      JOIN pg_stat_get_activity(NULL) AS session ON session.pid = queue.pid
     WHERE session.usesysid IS NOT NULL AND wanted.locktype <> 'virtualxid'
       -- Hidden from us: it counts as a client's.
       AND coalesce(session.backend_type, 'client backend') IN ('client backend', 'parallel worker')
       AND session.application_name IS DISTINCT FROM 'migrate-lock'
       AND starts_with(session.application_name, 'migrate-lock:') IS NOT TRUE
     GROUP BY queue.head, queue.pid;
END
$body$;

-- Reports, with the owner's rights, what waits for the sessions of a lease that was not released: {"instanceId": ..., "lockedAt": ...,
-- "waits": [{"head": the lease's session, "pid": the waiter, "ms": for how long, "transaction": the waiter's, "object": ...}]}. Null:
-- there is no lease, or this is a replica.
CREATE OR REPLACE FUNCTION "migrate_lock".blocking() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease  "migrate_lock".migration_lock;
    moment timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 AND released_at IS NULL;
    IF lease.id IS NULL OR pg_is_in_recovery() THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('instanceId', lease.instance_id, 'lockedAt', lease.locked_at, 'waits', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'head', head, 'pid', pid, 'ms', "migrate_lock".ms_between(since, moment),
                   'transaction', transaction, 'object', object)), '[]')
          FROM "migrate_lock".waits_behind("migrate_lock".lease_pids(lease))));
END
$body$;

-- Cancels the statement of a session of the caller's lease (p_how: cancel) or ends the session (terminate), if p_waiter has waited for
-- it for p_waited_ms; all of this is checked again here. Answers ended, denied (the owner may not end it), passed (it does not block
-- p_waiter any more), or refused (it is not the caller's lease).
CREATE OR REPLACE FUNCTION "migrate_lock".unblock(
    p_instance_id text, p_secret text, p_pid integer, p_waiter integer, p_waited_ms bigint, p_how text
) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease "migrate_lock".migration_lock;
    pids  integer[];
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_instance_id, p_secret, p_pid, p_waiter, p_waited_ms, p_how));
    IF p_how NOT IN ('cancel', 'terminate') THEN
        PERFORM "migrate_lock".refuse('this is not how a session is kept from blocking', 'It is cancel or terminate.');
    END IF;
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    IF "migrate_lock".may_end_sessions(lease, p_instance_id, p_secret) IS NOT TRUE THEN  -- mark: unblock-own
        RETURN jsonb_build_object('outcome', 'refused');
    END IF;
    pids := "migrate_lock".lease_pids(lease);
    BEGIN
        PERFORM CASE p_how WHEN 'cancel' THEN pg_cancel_backend(head) ELSE pg_terminate_backend(head) END
           FROM "migrate_lock".waits_behind(pids)
          WHERE head = p_pid AND pid = p_waiter
            AND (clock_timestamp() - since < p_waited_ms * interval '1 millisecond') IS NOT TRUE;
        RETURN jsonb_build_object('outcome', CASE WHEN FOUND THEN 'ended' ELSE 'passed' END);
    EXCEPTION WHEN insufficient_privilege THEN
        RETURN jsonb_build_object('outcome', 'denied');
    END;
END
$body$;

-- Ends what one try of a command has left, before the next one under the same lease; see settle_orphans(). Answers settled, orphans
-- (call again), or refused: it is not the caller's lease, or it has run out.
CREATE OR REPLACE FUNCTION "migrate_lock".settle(p_instance_id text, p_secret text, p_orphans text, p_seen jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease   "migrate_lock".migration_lock;
    orphans jsonb;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_instance_id, p_secret, p_orphans), p_orphans, p_seen);
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    IF "migrate_lock".may_end_sessions(lease, p_instance_id, p_secret) IS NOT TRUE THEN  -- mark: settles-own
        RETURN jsonb_build_object('outcome', 'refused');
    END IF;
    orphans := "migrate_lock".settle_orphans(lease, p_orphans, p_seen);
    RETURN CASE WHEN orphans IS NULL THEN '{"outcome": "settled"}' ELSE '{"outcome": "orphans"}' || orphans END;
END
$body$;

-- Whether the caller may end sessions of the lease: only its holder may, while it has the lease.
CREATE OR REPLACE FUNCTION "migrate_lock".may_end_sessions(
    lease "migrate_lock".migration_lock, p_instance_id text, p_secret text
) RETURNS boolean
    LANGUAGE plpgsql STABLE
AS $body$
BEGIN
    RETURN ("migrate_lock".proves(lease, p_instance_id, sha256(convert_to(p_secret, 'UTF8')))
            AND lease.released_at IS NULL AND lease.expires_at > clock_timestamp()) IS TRUE;
END
$body$;
