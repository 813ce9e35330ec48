-- For migrations: fails unless the lease is held now, and keeps takeovers out until the caller's transaction ends. Neither
-- the holder's extension nor its release waits for it, and it leaves no setting behind. It answers only sessions of the
-- lease's own roles: anybody else could keep a transaction open on it, and everybody out.
CREATE OR REPLACE FUNCTION "migrate_lock".assert_held(p_instance_id text, p_fencing_token bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease "migrate_lock".migration_lock;
BEGIN
    -- KEY SHARE: the weakest row lock, so that a change of the row's times does not wait for it. Waiters skip it.
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 FOR KEY SHARE;
    IF lease.instance_id IS DISTINCT FROM p_instance_id
       OR lease.fencing_token IS DISTINCT FROM p_fencing_token
       OR lease.released_at IS NOT NULL
       OR lease.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'the lease % with fencing token % is not held', p_instance_id, p_fencing_token
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Its time is over or somebody else has the lock: stop here, and run the migration again.';
    END IF;
    IF NOT "migrate_lock".works_under(lease) THEN
        RAISE EXCEPTION 'the lease % is of the role %, and % is none that works under it',
            p_instance_id, lease.db_role, session_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Let the owner of the lock name it: migrate-lock init --grant-to ... --child-role ...';
    END IF;
    -- Lets a takeover find this transaction, whatever its application_name is.
    PERFORM pg_advisory_xact_lock_shared("migrate_lock".assert_class(), "migrate_lock".assert_object(p_fencing_token));
END
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".assert_held(text, bigint) FROM PUBLIC;
