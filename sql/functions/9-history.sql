-- The newest p_limit rows of the history, oldest first; with p_since_ms only those of that long. Reads only.
CREATE OR REPLACE FUNCTION "migrate_lock".history(p_limit integer, p_since_ms bigint) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'id', newest.id,
               'atMs', "migrate_lock".epoch_ms(newest.at),
               'event', newest.event,
               'instanceId', newest.instance_id,
               'fencingToken', newest.fencing_token,
               'dbRole', newest.db_role,
               'clientAddress', host(newest.client_addr),
               'applicationName', newest.application_name,
               'details', newest.details,
               'auditHash', encode(newest.hash, 'hex')
           ) ORDER BY newest.id), '[]')
      FROM (SELECT *
              FROM "migrate_lock".migration_lock_audit
             WHERE p_since_ms IS NULL OR at >= clock_timestamp() - p_since_ms * interval '1 millisecond'
             ORDER BY id DESC
             LIMIT p_limit) AS newest
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".history(integer, bigint) FROM PUBLIC;
