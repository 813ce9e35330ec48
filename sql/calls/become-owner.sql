-- Who may do all that the owner of the lock may applies what is new as the owner: functions have their owner's rights.
SELECT pg_catalog.set_config('role', pg_catalog.pg_get_userbyid(relowner), true)
  FROM pg_catalog.pg_class
 WHERE oid = pg_catalog.to_regclass(pg_catalog.format('%I.migration_lock_version', $1::pg_catalog.text))
   AND pg_catalog.pg_get_userbyid(relowner) <> current_user
   AND pg_catalog.pg_has_role(current_user, relowner, 'MEMBER')
