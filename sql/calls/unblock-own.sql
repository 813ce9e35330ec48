-- The same with the rights of our own login, for a session of our login that bears the lease's name ($4: the instance id), which the
-- owner of the lock may not cancel or end. $1: the session, $2, $3: the starts of its statement and its transaction. Nothing of the lock
-- is called: the login may have no right to it where it acts as another role.
SELECT count(*) FILTER (WHERE CASE $5::text WHEN 'cancel' THEN pg_cancel_backend(session.pid)
                                            ELSE pg_terminate_backend(session.pid) END)::integer AS ended
  FROM pg_stat_get_activity($1::integer) AS session
 WHERE (extract(epoch FROM session.query_start)::text = $2::text OR extract(epoch FROM session.xact_start)::text = $3::text)
   AND session.pid <> pg_backend_pid()
   AND session.usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)
   AND starts_with(session.application_name, 'migrate-lock:')
   AND $4::text = ANY (string_to_array(substr(session.application_name, 14), ':'))
