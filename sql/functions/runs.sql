-- How the work of a run key stands: null while it is still to be done. A success counts for ever, a failure only for a caller
-- that gives p_failure_memory_ms, and for that long. The same key with another command is other work.
CREATE OR REPLACE FUNCTION "migrate_lock".settled_run(p_run_key text, p_command_sha256 text, p_failure_memory_ms bigint)
    RETURNS jsonb
    LANGUAGE sql STABLE
AS $body$
    SELECT jsonb_build_object(
               'succeeded', succeeded,
               'exitCode', exit_code,
               'instanceId', instance_id,
               'host', host,
               'command', command,
               'finishedAtMs', "migrate_lock".epoch_ms(finished_at),
               'durationMs', duration_ms)
      FROM "migrate_lock".migration_lock_run
     WHERE run_key = p_run_key AND command_sha256 = p_command_sha256
       AND (succeeded OR finished_at > clock_timestamp() - p_failure_memory_ms * interval '1 millisecond')
$body$;

-- Stores how the work of a lease's run key ended; only a failure can be there before.
CREATE OR REPLACE FUNCTION "migrate_lock".settle_run(
    lease "migrate_lock".migration_lock, p_succeeded boolean, p_exit_code integer, p_duration_ms bigint
) RETURNS void
    LANGUAGE sql
AS $body$
    INSERT INTO "migrate_lock".migration_lock_run AS run
        (run_key, command_sha256, succeeded, exit_code, finished_at, duration_ms, instance_id, fencing_token, host, db_role,
         command)
    VALUES (
        lease.run_key, lease.command_sha256, p_succeeded, p_exit_code, clock_timestamp(), p_duration_ms,
        lease.instance_id, lease.fencing_token, lease.host, lease.db_role, lease.command)
    ON CONFLICT (run_key, command_sha256) DO UPDATE SET
        succeeded     = excluded.succeeded,
        exit_code     = excluded.exit_code,
        finished_at   = excluded.finished_at,
        duration_ms   = excluded.duration_ms,
        instance_id   = excluded.instance_id,
        fencing_token = excluded.fencing_token,
        host          = excluded.host,
        db_role       = excluded.db_role,
        command       = excluded.command
$body$;

-- Another command that the same run key is known with: a warning, as two services may share a key by mistake.
CREATE OR REPLACE FUNCTION "migrate_lock".other_command(p_run_key text, p_command_sha256 text) RETURNS text
    LANGUAGE sql STABLE
AS $body$
    SELECT coalesce(command, 'a command that is not known')
      FROM "migrate_lock".migration_lock_run
     WHERE run_key = p_run_key AND command_sha256 <> p_command_sha256
     ORDER BY finished_at DESC
     LIMIT 1
$body$;

-- What a waiter with a run key asks between two polls, in one read: whether its work is still to be done, and whether anybody has
-- the lock.
CREATE OR REPLACE FUNCTION "migrate_lock".look(p_run_key text, p_command_sha256 text, p_failure_memory_ms bigint)
    RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object(
        'run', "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms),
        'isHeld', EXISTS (
            SELECT FROM "migrate_lock".migration_lock
             WHERE id = 1 AND released_at IS NULL AND expires_at > clock_timestamp()))
$body$;
