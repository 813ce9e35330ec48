-- How the work of a run key stands: null while it is still to be done. A success counts for ever, a failure only for who
-- asks with p_failure_memory_ms, and for that long.
CREATE OR REPLACE FUNCTION "migrate_lock".settled_run(p_run_key text, p_failure_memory_ms bigint) RETURNS jsonb
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
     WHERE run_key = p_run_key
       AND (succeeded OR finished_at > clock_timestamp() - p_failure_memory_ms * interval '1 millisecond')
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".settled_run(text, bigint) FROM PUBLIC;

-- Stores how the work of a lease's run key ended; only a failure can be there before. p_run is {"succeeded": ..., "exitCode": ..., "durationMs": ...}.
CREATE OR REPLACE FUNCTION "migrate_lock".settle_run(lease "migrate_lock".migration_lock, p_run jsonb) RETURNS void
    LANGUAGE sql
AS $body$
    INSERT INTO "migrate_lock".migration_lock_run AS run
        (run_key, succeeded, exit_code, finished_at, duration_ms, instance_id, fencing_token, host, db_role, command)
    VALUES (
        lease.run_key, (p_run ->> 'succeeded')::boolean, (p_run ->> 'exitCode')::integer, clock_timestamp(),
        (p_run ->> 'durationMs')::bigint, lease.instance_id, lease.fencing_token, lease.host, lease.db_role,
        lease.command)
    ON CONFLICT (run_key) DO UPDATE SET
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

REVOKE ALL ON FUNCTION "migrate_lock".settle_run("migrate_lock".migration_lock, jsonb) FROM PUBLIC;
