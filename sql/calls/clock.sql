SELECT pg_catalog.jsonb_build_object(
    'nowMs', pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000),
    'isReplica', pg_catalog.pg_is_in_recovery()) AS answer
