-- Plain statements, no function: a superuser may create the lock for another role, and calls nothing of that role.
REVOKE ALL ON SCHEMA "migrate_lock" FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA "migrate_lock" FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA "migrate_lock" FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "migrate_lock" FROM PUBLIC;
