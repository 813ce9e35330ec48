-- Clears a lease that has run out without a release, and waiters that do not count any more. Nobody has to call it:
-- the next acquisition does the same by itself. A lease whose sessions are still at work is not cleared: settle_orphans()
-- sees to them, and "orphans" tells of them.
CREATE OR REPLACE FUNCTION "migrate_lock".cleanup(p_policy jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    expired   "migrate_lock".migration_lock;
    orphans   jsonb;
    leases    integer := 0;
    forgotten bigint;
BEGIN
    PERFORM "migrate_lock".begin_change();
    SELECT * INTO expired
      FROM "migrate_lock".migration_lock
     WHERE id = 1 AND released_at IS NULL AND expires_at <= clock_timestamp()
       FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        orphans := "migrate_lock".settle_orphans(expired, p_policy);
    END IF;
    IF expired.id IS NOT NULL AND orphans IS NULL THEN
        UPDATE "migrate_lock".migration_lock
           SET released_at = clock_timestamp(), released_by = 'cleanup'
         WHERE id = 1;
        leases := 1;
        PERFORM "migrate_lock".record_change('lock.released', expired.instance_id, expired.fencing_token, jsonb_build_object(
            'by', 'cleanup',
            'heldMs', "migrate_lock".ms_between(expired.locked_at, expired.expires_at),
            'expiredMs', "migrate_lock".ms_between(expired.expires_at, clock_timestamp())));
        NOTIFY "migrate_lock";
    END IF;
    forgotten := "migrate_lock".forget_waiters(NULL);
    RETURN jsonb_build_object('leases', leases, 'waiters', forgotten, 'orphans', orphans);
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".cleanup(jsonb) FROM PUBLIC;
