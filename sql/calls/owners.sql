-- Read before anything in the lock schema is called or replaced: whose it is, whether the owner is a superuser, whether we are one,
-- and what in it another role owns or may create. Every name is of pg_catalog, so that nothing in any other schema is called.
-- (pg_depend has every object that lies in a schema. An object of another kind than these four has no place in the lock schema.)
SELECT pg_catalog.jsonb_build_object(
    'owner', owner.rolname,
    'ownerIsSuperuser', owner.rolsuper,
    'isSuperuser', (
        SELECT pg_catalog.bool_or(us.rolsuper) FROM pg_catalog.pg_roles AS us
         WHERE us.rolname IN (session_user, current_user)),
    'canBecomeOwner', pg_catalog.pg_has_role(current_user, owner.oid, 'MEMBER'),
    'isEmpty', NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS inside
         WHERE inside.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND inside.refobjid = schema.oid),
    'isApplied', EXISTS (
        SELECT FROM pg_catalog.pg_class AS class
         WHERE class.relnamespace = schema.oid AND class.relname = 'migration_lock_version'),
    'foreignObjects', ARRAY (
        SELECT pg_catalog.format('%s of %s',
                   pg_catalog.pg_describe_object(object.classid, object.objid, 0),
                   coalesce(pg_catalog.pg_get_userbyid(object.owner)::pg_catalog.text, 'a kind that does not belong there'))
          FROM (
            SELECT inside.classid, inside.objid, CASE inside.classid
                       WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN (
                           SELECT relowner FROM pg_catalog.pg_class WHERE oid = inside.objid)
                       WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN (
                           SELECT proowner FROM pg_catalog.pg_proc WHERE oid = inside.objid)
                       WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN (
                           SELECT typowner FROM pg_catalog.pg_type WHERE oid = inside.objid)
                       WHEN 'pg_catalog.pg_operator'::pg_catalog.regclass THEN (
                           SELECT oprowner FROM pg_catalog.pg_operator WHERE oid = inside.objid)
                   END AS owner
              FROM pg_catalog.pg_depend AS inside
             WHERE inside.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND inside.refobjid = schema.oid
          ) AS object
         WHERE object.owner IS DISTINCT FROM schema.nspowner
         LIMIT 5),
    'foreignCreators', ARRAY (
        SELECT CASE may.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(may.grantee)::pg_catalog.text END
          FROM pg_catalog.aclexplode(schema.nspacl) AS may
         WHERE may.privilege_type = 'CREATE' AND may.grantee <> schema.nspowner
         LIMIT 5)) AS answer
  FROM pg_catalog.pg_namespace AS schema
  JOIN pg_catalog.pg_roles AS owner ON owner.oid = schema.nspowner
 WHERE schema.nspname = 'migrate_lock'
