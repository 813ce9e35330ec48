-- The same with the rights of our own login, for a session of our login that bears the lease's name ($5: the instance id), which the
-- owner of the lock may not cancel or end. $1: the session, $2: who waits, $3, $4: the starts of its statement and its transaction.
SELECT count(*) FILTER (WHERE CASE $6::text WHEN 'cancel' THEN pg_cancel_backend(session.pid)
                                            ELSE pg_terminate_backend(session.pid) END)::integer AS ended
  FROM pg_stat_get_activity($1::integer) AS session, (SELECT "migrate_lock".blocking() AS answer OFFSET 0) AS told
 WHERE told.answer @> jsonb_build_object(
           'instanceId', $5::text, 'waits', jsonb_build_array(jsonb_build_object('head', $1::integer, 'pid', $2::integer)))
   AND (extract(epoch FROM session.query_start)::text = $3::text OR extract(epoch FROM session.xact_start)::text = $4::text)
   AND session.pid <> pg_backend_pid()
   AND session.usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)
   AND starts_with(session.application_name, 'migrate-lock:')
   AND $5::text = ANY (string_to_array(substr(session.application_name, 14), ':'))
