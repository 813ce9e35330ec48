-- Ends sessions that were answered as a lease's, with the rights of our own login ($1, $2: their process ids, the instance id). All
-- is checked again here: they are our login's, and bear the lease's name or have called assert_held(). An answer that names
-- another lease than our own ($3 is false) is followed only where we can act as the owner of the lock: another owner could name
-- sessions that are not the lock's.
SELECT count(*) FILTER (WHERE pg_terminate_backend(session.pid))::integer AS ended
  FROM pg_stat_get_activity(NULL) AS session, pg_namespace AS schema
 WHERE schema.nspname = 'migrate_lock'
   AND session.pid = ANY ($1::text::integer[])
   AND session.pid <> pg_backend_pid()
   AND session.usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)
   AND ($3::boolean OR pg_has_role(session_user, schema.nspowner, 'MEMBER'))
   AND (starts_with(session.application_name, 'migrate-lock:')
            AND $2::text = ANY (string_to_array(substr(session.application_name, 14), ':'))
        OR session.pid IN (
            SELECT held.pid
              FROM pg_lock_status() AS held
              JOIN pg_class AS assertion ON assertion.oid = held.relation
             WHERE held.locktype = 'relation' AND held.mode = 'RowShareLock' AND held.granted
               AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND assertion.relname = 'migration_lock_assertion' AND assertion.relnamespace = schema.oid))
