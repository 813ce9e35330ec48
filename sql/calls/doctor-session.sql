-- What a session of the command would find: `migrate-lock doctor` asks it on a session without settings of ours. Names and operators are
-- of pg_catalog throughout, because the search_path is not ours either. Milliseconds.
SELECT pg_catalog.jsonb_build_object(
    'backendPid', pg_catalog.pg_backend_pid(),
    'client', coalesce(
        pg_catalog.inet_client_port()::pg_catalog.text,
        pg_catalog.concat('.s.PGSQL.', pg_catalog.current_setting('port'))),
    'login', session_user,
    'role', current_user,
    'isReadOnly', pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool,
    'searchPath', pg_catalog.current_setting('search_path'),
    'schema', pg_catalog.current_schema(),
    'timeouts', (
        SELECT pg_catalog.jsonb_object_agg(name, pg_catalog.jsonb_build_object('ms', setting::pg_catalog.int8, 'source', source))
          FROM pg_catalog.pg_settings
         WHERE name OPERATOR(pg_catalog.=) ANY (
                   '{statement_timeout,lock_timeout,idle_in_transaction_session_timeout}'::pg_catalog.text[]))) AS answer
