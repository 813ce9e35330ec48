-- The proof of ownership. Only the instance that acquired a lease can release, extend or prove it: proves() tests the secret's hash
-- and the role. describe() returns what is shown of a lease: never the secret's hash.

CREATE OR REPLACE FUNCTION "migrate_lock".describe(lease "migrate_lock".migration_lock) RETURNS jsonb
    LANGUAGE sql VOLATILE
AS $body$
    SELECT jsonb_build_object(
        'instanceId', lease.instance_id,
        'fencingToken', lease.fencing_token,
        'host', lease.host,
        'pid', lease.pid,
        'dbRole', lease.db_role,
        'command', lease.command,
        'runKey', lease.run_key,
        'lockedAtMs', "migrate_lock".ms_between('epoch', lease.locked_at),
        'expiresAtMs', "migrate_lock".ms_between('epoch', lease.expires_at),
        'heldMs', "migrate_lock".ms_between(lease.locked_at, clock_timestamp()),
        'expiresInMs', "migrate_lock".ms_between(clock_timestamp(), lease.expires_at),
        'releasedAtMs', "migrate_lock".ms_between('epoch', lease.released_at))
$body$;

-- Whether the caller is the holder of this lease: it knows the secret, and it is the role that acquired the lease. The role
-- counts too, as a reader of the server's log may have seen a secret.
CREATE OR REPLACE FUNCTION "migrate_lock".proves(
    lease "migrate_lock".migration_lock, p_instance_id text, p_secret_sha256 bytea
) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT (lease.instance_id = p_instance_id
            AND lease.secret_sha256 = p_secret_sha256  -- mark: secret-proves
            AND lease.db_role = session_user  -- mark: role-proves
           ) IS TRUE  -- mark: proof-is-known
$body$;

-- What the history has about an instance, in one row: whether its id was used, whether the caller is the one that acquired a lease
-- under it, whether that lease was released (by the caller, or by a cleanup after its end: one that unlock() ended was lost), and
-- whether its loss is recorded already.
CREATE OR REPLACE FUNCTION "migrate_lock".past(p_instance_id text, p_secret_sha256 bytea)
    RETURNS TABLE (was_used boolean, was_holder boolean, was_released boolean, was_lost boolean, acquired_hash text,
                   released_hash text)
    LANGUAGE sql STABLE
AS $body$
    SELECT coalesce(bool_or(event = 'lock.acquired'), false),
           coalesce(bool_or(
               event = 'lock.acquired'  -- mark: holder-acquired
               AND db_role = session_user  -- mark: holder-role
               AND secret_sha256 = p_secret_sha256  -- mark: holder-secret
           ), false),
           coalesce(bool_or(event = 'lock.released' AND details ->> 'by' IS DISTINCT FROM 'unlock'), false),
           coalesce(bool_or(event = 'lock.lost'), false),  -- mark: lost-before
           (array_agg(encode(hash, 'hex') ORDER BY id DESC) FILTER (WHERE event = 'lock.acquired'))[1],
           (array_agg(encode(hash, 'hex') ORDER BY id DESC) FILTER (WHERE event = 'lock.released'))[1]
      FROM "migrate_lock".migration_lock_audit
     WHERE instance_id = p_instance_id
$body$;
