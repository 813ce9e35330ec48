-- How many sessions migrate-lock has beside ours, of whatever role or database.
SELECT pg_catalog.jsonb_build_object('sessions', pg_catalog.count(*)) AS answer
  FROM pg_catalog.pg_stat_get_activity(NULL) AS session
 WHERE session.application_name = 'migrate-lock' AND session.pid <> pg_catalog.pg_backend_pid()
