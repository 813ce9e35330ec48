-- Read before anything in the lock schema is called or replaced: whose it is, whether the owner is a superuser, whether we are one,
-- what in it another role owns or may create, and what would run with our rights there; which characters can be stored; and what
-- src/db/pooler.ts needs. Names and operators are of pg_catalog throughout: a pooler may have left our search_path out, and
-- nothing in any other schema is to be called.
-- (pg_depend has every object that lies in a schema. An object of another kind than these four has no place in the lock schema.)
SELECT pg_catalog.jsonb_build_object(
    'backendPid', pg_catalog.pg_backend_pid(),
    'client', coalesce(
        pg_catalog.inet_client_port()::pg_catalog.text,
        pg_catalog.concat('.s.PGSQL.', pg_catalog.current_setting('port'))),
    'encoding', pg_catalog.getdatabaseencoding(),
    'owner', pg_catalog.pg_get_userbyid(schema.nspowner),
    'ownerIsSuperuser', super.is_owner IS TRUE,
    'isSuperuser', super.is_caller IS TRUE,
    'canBecomeOwner', pg_catalog.pg_has_role(current_user, schema.nspowner, 'MEMBER'),
    'isEmpty', NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS inside
         WHERE inside.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
           AND inside.refobjid OPERATOR(pg_catalog.=) schema.oid),
    'isApplied', EXISTS (
        SELECT FROM pg_catalog.pg_class AS class
         WHERE class.relnamespace OPERATOR(pg_catalog.=) schema.oid
           AND class.relname OPERATOR(pg_catalog.=) 'migration_lock_version'),
    'foreignObjects', ARRAY (
        SELECT pg_catalog.format('%s of %s',
                   pg_catalog.pg_describe_object(object.classid, object.objid, 0),
                   coalesce(pg_catalog.pg_get_userbyid(object.owner)::pg_catalog.text, 'a kind that does not belong there'))
          FROM (
            SELECT inside.classid, inside.objid, CASE
                       WHEN inside.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass THEN (
                           SELECT relowner FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) inside.objid)
                       WHEN inside.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass THEN (
                           SELECT proowner FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.=) inside.objid)
                       WHEN inside.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass THEN (
                           SELECT typowner FROM pg_catalog.pg_type WHERE oid OPERATOR(pg_catalog.=) inside.objid)
                       WHEN inside.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass THEN (
                           SELECT oprowner FROM pg_catalog.pg_operator WHERE oid OPERATOR(pg_catalog.=) inside.objid)
                   END AS owner
              FROM pg_catalog.pg_depend AS inside
             WHERE inside.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
               AND inside.refobjid OPERATOR(pg_catalog.=) schema.oid
            OFFSET 0 -- else the CASE is planned twice
          ) AS object
         WHERE (object.owner OPERATOR(pg_catalog.=) schema.nspowner) IS NOT TRUE
         LIMIT 5),
    'foreignCreators', ARRAY (
        SELECT CASE WHEN may.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                    ELSE pg_catalog.pg_get_userbyid(may.grantee)::pg_catalog.text END
          FROM pg_catalog.aclexplode(schema.nspacl) AS may
         WHERE may.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
           AND may.grantee OPERATOR(pg_catalog.<>) schema.nspowner
         LIMIT 5),
    -- What we call of another role's lock runs with its owner's rights, not with ours, nor do its arguments bring code along: their
    -- types are the server's own, whose OIDs are below 16384. (The build fills in the names of the functions that are called.)
    'withOurRights', CASE WHEN pg_catalog.pg_has_role(current_user, schema.nspowner, 'MEMBER') THEN '{}' ELSE ARRAY (
        SELECT pg_catalog.pg_describe_object('pg_catalog.pg_proc'::pg_catalog.regclass, called.oid, 0)
          FROM pg_catalog.pg_proc AS called
         WHERE called.pronamespace OPERATOR(pg_catalog.=) schema.oid
           AND called.proname OPERATOR(pg_catalog.=) ANY ('{called}'::pg_catalog.name[])
           AND (NOT called.prosecdef OR called.pronargdefaults OPERATOR(pg_catalog.>) 0
                OR 16384::pg_catalog.oid OPERATOR(pg_catalog.<=) ANY (called.proargtypes::pg_catalog.oid[])
                OR 16384::pg_catalog.oid OPERATOR(pg_catalog.<=) called.prorettype)
         LIMIT 5) END) AS answer
  FROM pg_catalog.pg_namespace AS schema, LATERAL (
       -- A member of a superuser's role can become one, and so can code that runs with its rights.
       SELECT pg_catalog.bool_or(pg_catalog.pg_has_role(schema.nspowner, role.oid, 'MEMBER')) AS is_owner,
              pg_catalog.bool_or(pg_catalog.pg_has_role(session_user, role.oid, 'MEMBER')
                                 OR pg_catalog.pg_has_role(current_user, role.oid, 'MEMBER')) AS is_caller
         FROM pg_catalog.pg_roles AS role
        WHERE role.rolsuper) AS super
 WHERE schema.nspname OPERATOR(pg_catalog.=) 'migrate_lock'
