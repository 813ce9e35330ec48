-- Plain statements, no function: a superuser may create the lock for another role, and calls nothing of that role.
REVOKE ALL ON SCHEMA "migrate_lock" FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA "migrate_lock" FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA "migrate_lock" FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "migrate_lock" FROM PUBLIC;

-- Nor does any role keep what default privileges (ALTER DEFAULT PRIVILEGES) have given it, but for what it was admitted to.
DO $body$
DECLARE
    given record;
BEGIN
    FOR given IN
        WITH home AS (
            SELECT to_regnamespace(quote_ident('migrate_lock'))::oid AS oid
        ), object AS (
            SELECT 'n' AS kind, 'SCHEMA' AS what, quote_ident(nspname) AS name, NULL AS function_, nspowner AS owner, nspacl AS acl
              FROM pg_namespace
             WHERE oid = (SELECT oid FROM home)
            UNION ALL
            SELECT CASE relkind WHEN 'S' THEN 'S' ELSE 'r' END, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                   oid::regclass::text, NULL, relowner, relacl
              FROM pg_class
             WHERE relnamespace = (SELECT oid FROM home) AND relkind IN ('r', 'S')
            UNION ALL
            SELECT 'f', 'FUNCTION', oid::regprocedure::text, proname, proowner, proacl
              FROM pg_proc
             WHERE pronamespace = (SELECT oid FROM home)
        ), by_default AS (
            SELECT defaclrole AS owner, defaclobjtype::text AS kind, acl.grantee, acl.privilege_type
              FROM pg_default_acl, aclexplode(defaclacl) AS acl
             WHERE defaclnamespace IN (0, (SELECT oid FROM home)) AND acl.grantee NOT IN (0, defaclrole)
        )
        SELECT DISTINCT object.what, object.name, pg_get_userbyid(acl.grantee) AS grantee
          FROM object, aclexplode(object.acl) AS acl
          JOIN by_default USING (grantee, privilege_type)
         WHERE by_default.owner = object.owner AND by_default.kind = object.kind
           AND NOT EXISTS (
               SELECT FROM "migrate_lock".migration_lock_role AS admitted
                WHERE (acl.grantee = admitted.role AND (object.kind = 'n' OR object.function_ = ANY (admitted.granted)))
                   OR (acl.grantee = ANY (admitted.child_roles)
                       AND (object.kind = 'n' OR object.function_ IN ('version', 'assert_held'))))
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %I CASCADE', given.what, given.name, given.grantee);
    END LOOP;
END
$body$;
