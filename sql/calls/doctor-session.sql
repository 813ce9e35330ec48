-- What a session of the command would find: `migrate-lock doctor` reads it on a session without settings of ours. Names and operators are
-- of pg_catalog throughout, because the search_path is not ours either. Milliseconds.
-- transaction_timeout is there from PostgreSQL 17 on.
SELECT pg_catalog.jsonb_build_object(
    'backendPid', pg_catalog.pg_backend_pid(),
    'client', coalesce(
        pg_catalog.inet_client_port()::pg_catalog.text,
        pg_catalog.concat('.s.PGSQL.', pg_catalog.current_setting('port'))),
    'database', pg_catalog.current_database(),
    'login', session_user,
    'role', current_user,
    'isReadOnly', pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool,
    'searchPath', pg_catalog.current_setting('search_path'),
    'schema', pg_catalog.current_schema(),
    'mayCreate', coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false),
    'timeouts', (
        SELECT pg_catalog.jsonb_object_agg(wanted.name, pg_catalog.jsonb_build_object(
                   'ms', coalesce(found.setting, '0')::pg_catalog.int8,
                   'source', coalesce(found.source, 'default')))
          FROM pg_catalog.unnest('{statement_timeout,transaction_timeout,lock_timeout,idle_in_transaction_session_timeout}'::pg_catalog.text[])
                   AS wanted (name)
          LEFT JOIN pg_catalog.pg_settings AS found ON found.name OPERATOR(pg_catalog.=) wanted.name)) AS answer
