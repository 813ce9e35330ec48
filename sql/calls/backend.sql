SELECT pg_catalog.jsonb_build_object('backendPid', pg_catalog.pg_backend_pid()) AS answer
