SELECT pg_catalog.jsonb_build_object(
    'backendPid', pg_catalog.pg_backend_pid(),
    'client', coalesce(
        pg_catalog.inet_client_port()::pg_catalog.text,
        pg_catalog.concat('.s.PGSQL.', pg_catalog.current_setting('port')))) AS answer
