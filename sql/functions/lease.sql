-- What anybody may know of a lease: never the secret's hash.
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
        'lockedAtMs', "migrate_lock".epoch_ms(lease.locked_at),
        'expiresAtMs', "migrate_lock".epoch_ms(lease.expires_at),
        'heldMs', "migrate_lock".ms_between(lease.locked_at, clock_timestamp()),
        'expiresInMs', "migrate_lock".ms_between(clock_timestamp(), lease.expires_at),
        'releasedAtMs', "migrate_lock".epoch_ms(lease.released_at))
$body$;

CREATE OR REPLACE FUNCTION "migrate_lock".digest(p_secret text) RETURNS bytea
    LANGUAGE sql IMMUTABLE
AS $body$
    SELECT sha256(convert_to(p_secret, 'UTF8'))
$body$;

-- Whether the caller is the holder of this lease: it knows the secret, and it is the role that acquired the lease. The role
-- counts too, as a reader of the server's log may have seen a secret.
CREATE OR REPLACE FUNCTION "migrate_lock".proves(lease "migrate_lock".migration_lock, p_instance_id text, p_secret text)
    RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT (lease.instance_id = p_instance_id AND lease.secret_sha256 = "migrate_lock".digest(p_secret)
            AND lease.db_role = session_user) IS TRUE
$body$;

-- An instance id names one acquisition for ever: a client that could choose a used one could be taken for its first owner.
CREATE OR REPLACE FUNCTION "migrate_lock".was_used(p_instance_id text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT EXISTS (
        SELECT FROM "migrate_lock".migration_lock_audit
         WHERE instance_id = p_instance_id AND event = 'lock.acquired')
$body$;

-- Whether the caller is the one that acquired a lease under this instance id, which may be over since.
CREATE OR REPLACE FUNCTION "migrate_lock".was_holder(p_instance_id text, p_secret text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT EXISTS (
        SELECT FROM "migrate_lock".migration_lock_audit
         WHERE instance_id = p_instance_id AND event = 'lock.acquired' AND db_role = session_user
           AND secret_sha256 = "migrate_lock".digest(p_secret))
$body$;
