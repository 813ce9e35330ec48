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

REVOKE ALL ON FUNCTION "migrate_lock".describe("migrate_lock".migration_lock) FROM PUBLIC;

CREATE OR REPLACE FUNCTION "migrate_lock".proves(lease "migrate_lock".migration_lock, p_instance_id text, p_secret text)
    RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT lease.instance_id = p_instance_id AND lease.secret_sha256 = sha256(convert_to(p_secret, 'UTF8'))
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".proves("migrate_lock".migration_lock, text, text) FROM PUBLIC;
