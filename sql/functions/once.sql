-- Work that needs to succeed once. A success counts for ever, a failure only for a caller that gives p_failure_memory_ms, and
-- for that long. The same key with another command is other work. release() stores how the work ended.

CREATE OR REPLACE FUNCTION "migrate_lock".describe_run(run "migrate_lock".migration_lock_run) RETURNS jsonb
    LANGUAGE sql STABLE
AS $body$
    SELECT jsonb_build_object(
        'succeeded', run.succeeded,
        'exitCode', run.exit_code,
        'instanceId', run.instance_id,
        'host', run.host,
        'command', run.command,
        'finishedAtMs', "migrate_lock".ms_between('epoch', run.finished_at),
        'durationMs', run.duration_ms)
$body$;

-- How the work of a run key stands: null while it is still to be done.
CREATE OR REPLACE FUNCTION "migrate_lock".settled_run(p_run_key text, p_command_sha256 text, p_failure_memory_ms bigint)
    RETURNS jsonb
    LANGUAGE sql STABLE
AS $body$
    SELECT "migrate_lock".describe_run(run)
      FROM "migrate_lock".migration_lock_run AS run
     WHERE (succeeded OR  -- mark: success-counts
            finished_at > clock_timestamp() - p_failure_memory_ms * interval '1 millisecond')  -- mark: failure-counts
       AND run_key = p_run_key  -- mark: same-key
       AND command_sha256 = p_command_sha256  -- mark: same-command
$body$;

-- The read of a waiter with a run key between two polls, and of a run whose check found nothing to do: whether the work of the key is
-- still to be done, whether the lock is held, and whether a command may have left its work unfinished (the caller's, by an unclean
-- end; or any, if its lease has expired without a release).
CREATE OR REPLACE FUNCTION "migrate_lock".read_run_key(p_run_key text, p_command_sha256 text, p_failure_memory_ms bigint)
    RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object(
        'run', "migrate_lock".settled_run(p_run_key, p_command_sha256, p_failure_memory_ms),
        'isHeld', EXISTS (
            SELECT FROM "migrate_lock".migration_lock
             WHERE id = 1 AND released_at IS NULL AND expires_at > clock_timestamp()),
        'mayBeUnfinished',
            EXISTS (SELECT FROM "migrate_lock".migration_lock_unclean_end WHERE command_sha256 = p_command_sha256)
            OR EXISTS (SELECT FROM "migrate_lock".migration_lock WHERE released_at IS NULL))  -- mark: read-unreleased
$body$;
