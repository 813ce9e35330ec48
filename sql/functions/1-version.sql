-- The first look of every program. One read, and it works for a role that may read no table. The process id tells a
-- program whether it speaks to the server itself: behind a pooler it is not the one of the start-up.
CREATE OR REPLACE FUNCTION "migrate_lock".version() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT jsonb_build_object('version', version, 'oldestProgram', oldest_program, 'backendPid', pg_backend_pid())
      FROM "migrate_lock".migration_lock_version
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".version() FROM PUBLIC;
