-- Takes a waiter of the caller's role out of the queue, and those who have not been seen for so long that they do not count any more.
-- Rows that somebody else has locked are left to him: nobody waits for a row of the queue.
CREATE OR REPLACE FUNCTION "migrate_lock".forget_waiters(p_instance_id text) RETURNS bigint
    LANGUAGE sql
AS $body$
    WITH gone AS (
        SELECT instance_id
          FROM "migrate_lock".migration_lock_waiter
         WHERE (instance_id = p_instance_id AND db_role = session_user) OR counts_until <= clock_timestamp()
           FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM "migrate_lock".migration_lock_waiter AS waiter
         USING gone
         WHERE waiter.instance_id = gone.instance_id
        RETURNING waiter.instance_id
    )
    SELECT count(*) FROM forgotten WHERE instance_id IS DISTINCT FROM p_instance_id
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".forget_waiters(text) FROM PUBLIC;

