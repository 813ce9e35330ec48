SELECT pg_catalog.jsonb_build_object('version', version, 'oldestProgram', oldest_program) AS answer
  FROM "migrate_lock".migration_lock_version
