-- The instances that wait now, in order of arrival.
CREATE OR REPLACE FUNCTION "migrate_lock".waiters() RETURNS jsonb
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'instanceId', instance_id,
               'host', host,
               'pid', pid,
               'dbRole', db_role,
               'command', command,
               'runKey', run_key,
               'waitingMs', "migrate_lock".ms_between(arrived_at, clock_timestamp())
           ) ORDER BY arrived_at, instance_id), '[]')
      FROM "migrate_lock".migration_lock_waiter
     WHERE counts_until > clock_timestamp()
$body$;

-- The lease and the waiters. Reads only. A replica does not have the unlogged table of the waiters, so that even planning to
-- read it fails there: hence the function of its own, which a replica never calls.
CREATE OR REPLACE FUNCTION "migrate_lock".status() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object(
        'state', CASE
            WHEN lease.id IS NULL OR lease.released_at IS NOT NULL THEN 'free'
            WHEN lease.expires_at <= clock_timestamp() THEN 'expired'
            ELSE 'held'
        END,
        'lease', CASE WHEN lease.id IS NOT NULL THEN "migrate_lock".describe(lease) END
    ) || CASE
        WHEN pg_is_in_recovery() THEN jsonb_build_object('waiters', '[]'::jsonb, 'isReplica', true)
        ELSE jsonb_build_object('waiters', "migrate_lock".waiters())
    END
      FROM (SELECT 1) AS always
      LEFT JOIN "migrate_lock".migration_lock AS lease ON lease.id = 1
$body$;
