-- The first look of every program. One read, and it works for a role that may read no table.
CREATE OR REPLACE FUNCTION "migrate_lock".version() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object('version', version, 'oldestProgram', oldest_program)
      FROM "migrate_lock".migration_lock_version
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".version() FROM PUBLIC;
