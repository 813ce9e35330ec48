-- What every role that may use the lock can see of it.

-- The lease, the instances that wait, in order of arrival, how many wait for a run key, and the commands whose last lease had an
-- unclean end. Reads only. A replica does not have the unlogged tables of waiters and watchers: a statement that names them fails there.
CREATE OR REPLACE FUNCTION "migrate_lock".status() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease    "migrate_lock".migration_lock;
    waiters  jsonb := '[]';
    watchers bigint;  -- null: not known
BEGIN
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    IF NOT pg_is_in_recovery() THEN
        SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'instanceId', instance_id,
                   'host', host,
                   'pid', pid,
                   'dbRole', db_role,
                   'command', command,
                   'runKey', run_key,
                   'waitingMs', "migrate_lock".ms_between(arrived_at, clock_timestamp())
               ) ORDER BY arrived_at, instance_id), '[]') INTO waiters
          FROM "migrate_lock".migration_lock_waiter
         WHERE counts_until > clock_timestamp();
        SELECT count(*) INTO watchers FROM "migrate_lock".migration_lock_watcher WHERE counts_until > clock_timestamp();
    END IF;
    RETURN jsonb_build_object(
        'state', CASE
            WHEN lease.id IS NULL OR lease.released_at IS NOT NULL THEN 'free'
            WHEN lease.expires_at <= clock_timestamp() THEN 'expired'  -- mark: status-expired
            ELSE 'held'
        END,
        'lease', CASE WHEN lease.id IS NOT NULL THEN "migrate_lock".describe(lease) END,
        'waiters', waiters,
        'watchers', watchers,
        'uncleanEnds', (
            SELECT coalesce(jsonb_agg("migrate_lock".unclean_end(command_sha256) ORDER BY ended_at), '[]')
              FROM (SELECT * FROM "migrate_lock".migration_lock_unclean_end ORDER BY ended_at DESC LIMIT 100) AS newest),
        'isReplica', pg_is_in_recovery());
END
$body$;
