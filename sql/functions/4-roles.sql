-- Whether a role can do all that the owner of the lock can: the owner, its members, a superuser. (The current user of what
-- is SECURITY DEFINER is the owner.)
CREATE OR REPLACE FUNCTION "migrate_lock".is_owner(p_db_role text) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT coalesce((SELECT pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = p_db_role), false)
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".is_owner(text) FROM PUBLIC;

-- The roles whose sessions can be a lease's: its own, and those that the owner has named for it. Who chooses an instance id
-- must not be able to aim a takeover at the sessions of anybody else.
CREATE OR REPLACE FUNCTION "migrate_lock".roles_of(lease "migrate_lock".migration_lock) RETURNS text[]
    LANGUAGE sql STABLE
AS $body$
    SELECT lease.db_role || coalesce(
        (SELECT child_roles FROM "migrate_lock".migration_lock_role WHERE db_role = lease.db_role), '{}')
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".roles_of("migrate_lock".migration_lock) FROM PUBLIC;

-- Whether the caller's role is one of those, or can do all that the owner can.
CREATE OR REPLACE FUNCTION "migrate_lock".works_under(lease "migrate_lock".migration_lock) RETURNS boolean
    LANGUAGE sql STABLE
AS $body$
    SELECT session_user = ANY ("migrate_lock".roles_of(lease)) OR "migrate_lock".is_owner(session_user::text)
$body$;

REVOKE ALL ON FUNCTION "migrate_lock".works_under("migrate_lock".migration_lock) FROM PUBLIC;
