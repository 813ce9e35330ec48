-- What a holder can do with its lease: extend it, and assert it inside a migration. Both only while it is held: a lease that has
-- run out does not come back.

-- Moves the lease's end to the later of its old end and now + ttl. Answers extended, or refused.
CREATE OR REPLACE FUNCTION "migrate_lock".extend(p_instance_id text, p_secret text, p_ttl_ms bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    longest_ms bigint := least((SELECT max_ttl_ms FROM "migrate_lock".migration_lock_setting), 2147483647);
    lease      "migrate_lock".migration_lock;
    hash       text;
BEGIN
    PERFORM "migrate_lock".begin_change(num_nulls(p_instance_id, p_secret, p_ttl_ms));
    IF (p_ttl_ms BETWEEN 1 AND longest_ms) IS NOT TRUE THEN
        PERFORM "migrate_lock".refuse_ttl(p_ttl_ms, longest_ms);
    END IF;
    UPDATE "migrate_lock".migration_lock AS held
       SET expires_at = greatest(held.expires_at, clock_timestamp() + p_ttl_ms * interval '1 millisecond')  -- mark: extended-end
     WHERE held.id = 1  -- mark: extends-the-row
       AND "migrate_lock".proves(held, p_instance_id, sha256(convert_to(p_secret, 'UTF8')))  -- mark: extends-own
       AND held.released_at IS NULL  -- mark: extends-unreleased
       AND held.expires_at > clock_timestamp()  -- mark: extends-unexpired
    RETURNING * INTO lease;
    IF NOT FOUND THEN
        PERFORM "migrate_lock".record_refusal(
            'extend', 'lease.extend_refused', p_instance_id, jsonb_build_object('ttlMs', p_ttl_ms));
        RETURN jsonb_build_object('outcome', 'refused');
    END IF;
    hash := "migrate_lock".record_change('lease.extended', p_instance_id, lease.fencing_token, jsonb_build_object(
        'ttlMs', p_ttl_ms, 'expiresAtMs', "migrate_lock".ms_between('epoch', lease.expires_at)));
    RETURN jsonb_build_object('outcome', 'extended', 'lease', "migrate_lock".describe(lease), 'auditHash', hash);
END
$body$;

-- For migrations: fails unless the lease is held now, and keeps takeovers out until the caller's transaction ends. Neither the
-- holder's extension nor its release waits for it, and it leaves no setting behind. It works only for the lease's own roles:
-- any other could keep a transaction open, and everybody out.
CREATE OR REPLACE FUNCTION "migrate_lock".assert_held(p_instance_id text, p_fencing_token bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
    lease   "migrate_lock".migration_lock;
    is_held boolean;
    is_own  boolean;  -- the caller's role is one of the lease's, or can act as the owner
BEGIN
    -- First without a lock: the error of a call that is refused must not be sent while the row is locked.
    SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1;
    is_held := "migrate_lock".is_held(lease, p_instance_id, p_fencing_token);
    is_own  := to_regrole(quote_ident(session_user)) = ANY ("migrate_lock".lease_roles(lease))
               OR pg_has_role(session_user, current_user, 'MEMBER');
    IF is_held IS TRUE
       AND is_own IS NOT TRUE THEN  -- mark: asserts-own
        RAISE EXCEPTION 'the lease is of the role %, and % is not one of its roles', lease.db_role, session_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Let the owner of the lock name it: migrate-lock init --grant-to ... --child-role ...';
    END IF;
    IF is_held IS TRUE THEN
        BEGIN
            -- The mark comes first: what a client can have sent to it at any moment (debug_print_plan), and not read, then finds a
            -- session that a takeover knows of.
            LOCK TABLE "migrate_lock".migration_lock_assertion IN ROW SHARE MODE;
            -- KEY SHARE: the weakest row lock, so that a change of the row's times does not wait for it. Waiters skip it.
            SELECT * INTO lease FROM "migrate_lock".migration_lock WHERE id = 1 FOR KEY SHARE;
            is_held := "migrate_lock".is_held(lease, p_instance_id, p_fencing_token);
            IF is_held IS NOT TRUE THEN
                RAISE EXCEPTION USING ERRCODE = 'ML002';  -- leaves the block, which gives up both locks
            END IF;
        EXCEPTION WHEN SQLSTATE 'ML002' THEN
            NULL;
        END;
    END IF;
    IF is_held IS NOT TRUE THEN
        RAISE EXCEPTION 'the lease % with fencing token % is not held', left(p_instance_id, 60), p_fencing_token
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'It has ended, or another instance has the lock: stop here, and run the migration again.';
    END IF;
END
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".is_held(
    lease "migrate_lock".migration_lock, p_instance_id text, p_fencing_token bigint
) RETURNS boolean
    LANGUAGE sql VOLATILE
AS $body$
    SELECT (lease.released_at IS NULL  -- mark: held-unreleased
            AND lease.expires_at > clock_timestamp()  -- mark: held-unexpired
            AND lease.instance_id = p_instance_id  -- mark: held-by-instance
            AND lease.fencing_token = p_fencing_token  -- mark: held-token
           ) IS TRUE
$body$;
