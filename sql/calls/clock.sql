-- Read with the search_path of others too: names and operators are of pg_catalog throughout.
SELECT pg_catalog.jsonb_build_object(
    'nowMs', pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000),
    'isReplica', pg_catalog.pg_is_in_recovery()) AS answer
