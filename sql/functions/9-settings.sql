-- A sequence moves on by what one attempt costs: a tenth of it, as all addresses of a role have it together.
CREATE OR REPLACE FUNCTION "migrate_lock".pace_sequences() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    admitted record;
BEGIN
    FOR admitted IN
        SELECT role.attempts, greatest(1, 100000 / setting.attempts_per_second) AS step
          FROM "migrate_lock".migration_lock_role AS role, "migrate_lock".migration_lock_setting AS setting
    LOOP
        EXECUTE format('ALTER SEQUENCE %s INCREMENT BY %s', admitted.attempts, admitted.step);
    END LOOP;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".pace_sequences() FROM PUBLIC;

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
    PERFORM "migrate_lock".pace_sequences();
    PERFORM "migrate_lock".record('lock.configured', NULL, NULL, p_settings);
    RETURN p_settings;
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".configure(jsonb) FROM PUBLIC;
