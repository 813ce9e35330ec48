-- A waiter that has nothing to wait for any more takes itself out of the queue.
CREATE OR REPLACE FUNCTION "migrate_lock".forget(p_instance_id text) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
    DELETE FROM "migrate_lock".migration_lock_waiter WHERE instance_id = p_instance_id AND db_role = session_user;
    SELECT '{}'::jsonb
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".forget(text) FROM PUBLIC;
