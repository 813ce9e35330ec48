-- How many sessions of a lease ($1: its instance id) are left, of any role and database. Behind a pooler ($2) an idle session keeps
-- the name of its last client, and does not count; a state that is hidden from us does. (As settle_orphans() in
-- sql/functions/sessions.sql.)
SELECT pg_catalog.jsonb_build_object('sessions', pg_catalog.count(*)) AS answer
  FROM pg_stat_get_activity(NULL) AS session
 WHERE session.pid <> pg_backend_pid()
   AND starts_with(session.application_name, 'migrate-lock:')
   AND $1::text = ANY (string_to_array(substr(session.application_name, 14), ':'))
   AND NOT ($2::boolean AND session.state IS NOT DISTINCT FROM 'idle')
