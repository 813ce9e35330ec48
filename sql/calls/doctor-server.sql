-- What `migrate-lock doctor` reads from the server, reached as a run reaches it. Reads only, and calls nothing in the lock schema. Names and
-- operators are of pg_catalog throughout, as in owners.sql. `me` is the login, whose sessions the command has; current_user calls the lock.
SELECT pg_catalog.jsonb_build_object(
    'backendPid', pg_catalog.pg_backend_pid(),
    'client', coalesce(
        pg_catalog.inet_client_port()::pg_catalog.text,
        pg_catalog.concat('.s.PGSQL.', pg_catalog.current_setting('port'))),
    'version', pg_catalog.current_setting('server_version'),
    'versionNumber', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
    'isReplica', pg_catalog.pg_is_in_recovery(),
    'role', current_user,
    'mayCreate', pg_catalog.has_database_privilege(here.oid, 'CREATE'),
    'schema', CASE WHEN schema.oid IS NOT NULL THEN pg_catalog.jsonb_build_object(
        'owner', owner.rolname,
        'isOwner', pg_catalog.pg_has_role(current_user, owner.oid, 'MEMBER'),
        'missing', ARRAY (
            SELECT needed.name
              FROM pg_catalog.unnest('{version,read_run_key,poll,extend,release}'::pg_catalog.name[]) AS needed (name)
             WHERE NOT EXISTS (
                   SELECT FROM pg_catalog.pg_proc AS found
                    WHERE found.pronamespace OPERATOR(pg_catalog.=) schema.oid
                      AND found.proname OPERATOR(pg_catalog.=) needed.name)),
        'mayNotCall', ARRAY (
            SELECT called.proname
              FROM pg_catalog.pg_proc AS called
             WHERE called.pronamespace OPERATOR(pg_catalog.=) schema.oid
               AND called.proname OPERATOR(pg_catalog.=) ANY ('{version,read_run_key,poll,extend,release}'::pg_catalog.name[])
               AND NOT pg_catalog.has_function_privilege(called.oid, 'EXECUTE')
             ORDER BY called.proname),
        'canSee', pg_catalog.pg_has_role(owner.oid, me.oid, 'USAGE') OR pg_catalog.pg_has_role(owner.oid, 'pg_read_all_stats', 'USAGE'),
        'canEnd', pg_catalog.pg_has_role(owner.oid, me.oid, 'USAGE')
                  OR (pg_catalog.pg_has_role(owner.oid, 'pg_signal_backend', 'USAGE') AND NOT me.rolsuper)) END,
    -- As poll() counts them; ours is one of them.
    'connectionsLeft', least(
        pg_catalog.current_setting('max_connections')::pg_catalog.int4
            OPERATOR(pg_catalog.-) pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4
            OPERATOR(pg_catalog.-) coalesce(pg_catalog.current_setting('reserved_connections', true)::pg_catalog.int4, 0)
            OPERATOR(pg_catalog.-) used.in_all,
        CASE WHEN NOT me.rolsuper AND me.rolconnlimit OPERATOR(pg_catalog.>=) 0
             THEN me.rolconnlimit OPERATOR(pg_catalog.-) used.of_role END,
        CASE WHEN NOT me.rolsuper AND here.datconnlimit OPERATOR(pg_catalog.>=) 0
             THEN here.datconnlimit OPERATOR(pg_catalog.-) used.here END)) AS answer
  FROM pg_catalog.pg_roles AS me
  JOIN pg_catalog.pg_database AS here ON here.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace AS schema ON schema.nspname OPERATOR(pg_catalog.=) 'migrate_lock'
  LEFT JOIN pg_catalog.pg_roles AS owner ON owner.oid OPERATOR(pg_catalog.=) schema.nspowner
 CROSS JOIN LATERAL (
       SELECT pg_catalog.count(*) AS in_all,
              pg_catalog.count(*) FILTER (WHERE usesysid OPERATOR(pg_catalog.=) me.oid) AS of_role,
              pg_catalog.count(*) FILTER (WHERE datid OPERATOR(pg_catalog.=) here.oid) AS here
         FROM pg_catalog.pg_stat_get_activity(NULL) WHERE usesysid IS NOT NULL) AS used
 WHERE me.rolname OPERATOR(pg_catalog.=) session_user
