-- Forgets the run keys whose last run is longer ago than p_keep_ms: their work would be done once more.
CREATE OR REPLACE FUNCTION "migrate_lock".prune(p_keep_ms bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    pruned bigint;
BEGIN
    PERFORM "migrate_lock".begin_change();
    DELETE FROM "migrate_lock".migration_lock_run
     WHERE finished_at < clock_timestamp() - p_keep_ms * interval '1 millisecond';
    GET DIAGNOSTICS pruned = ROW_COUNT;
    RETURN jsonb_build_object('runs', pruned);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".prune(bigint) FROM PUBLIC;
