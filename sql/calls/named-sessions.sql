-- Client sessions, for `migrate-lock doctor -- COMMAND`: those that bear the name of the lease ($1) in this database, and whether they
-- are of our role, which other databases have some, and the pids of those in this database that bear neither this name nor that of
-- migrate-lock's own sessions.
SELECT pg_catalog.jsonb_build_object(
    'here', coalesce(
        pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('pid', pid, 'role', role, 'isOwnRole', role = session_user))
            FILTER (WHERE is_named AND is_here), '[]'),
    'elsewhere', coalesce(pg_catalog.jsonb_agg(DISTINCT datname) FILTER (WHERE is_named AND NOT is_here), '[]'),
    'unnamed', coalesce(pg_catalog.jsonb_agg(pid) FILTER (WHERE is_here AND NOT is_named AND application_name <> 'migrate-lock'), '[]')) AS answer
  FROM (
    SELECT session.pid, pg_catalog.pg_get_userbyid(session.usesysid) AS role, session.application_name,
           base.datname, base.datname = current_database() AS is_here,
           starts_with(session.application_name, 'migrate-lock:')
               AND $1::text = ANY (string_to_array(substr(session.application_name, 14), ':')) AS is_named
      FROM pg_stat_get_activity(NULL) AS session
      JOIN pg_database AS base ON base.oid = session.datid
     WHERE session.usesysid IS NOT NULL AND session.pid <> pg_backend_pid()
  ) AS found
