-- For the lock's owner alone: sets what p_settings names, {"maxTtlMs": ..., "attemptsPerSecond": ...}.
CREATE OR REPLACE FUNCTION "migrate_lock".configure(p_settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    UPDATE "migrate_lock".migration_lock_setting
       SET max_ttl_ms          = CASE WHEN p_settings ? 'maxTtlMs' THEN (p_settings ->> 'maxTtlMs')::bigint
                                      ELSE max_ttl_ms END,
           attempts_per_second = coalesce((p_settings ->> 'attemptsPerSecond')::integer, attempts_per_second)
     WHERE id = 1;
    PERFORM "migrate_lock".record('lock.configured', NULL, NULL, p_settings);
    RETURN p_settings;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".configure(jsonb) FROM PUBLIC;
