SELECT "migrate_lock".grant_functions(role) FROM "migrate_lock".migration_lock_role
 WHERE role OPERATOR(pg_catalog.=) ANY (ARRAY (SELECT oid FROM pg_catalog.pg_roles))
