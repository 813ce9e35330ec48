-- Which sessions wait for those of the lease, and what PostgreSQL shows to our own role of those that block. isCut: the statement may
-- go on. isOlder: than the lease; only a pooler has such a session. isInner: of a run on another lock inside the command.
SELECT jsonb_build_object('backendPid', pg_backend_pid(), 'reported', reported.answer, 'visible', (
           SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'pid', pid, 'state', state, 'role', pg_get_userbyid(usesysid),
                      'queryStart', extract(epoch FROM query_start)::text, 'xactStart', extract(epoch FROM xact_start)::text,
                      'statement', left(query, 4000),
                      'isCut', length(query) > 4000 OR octet_length(query) > (
                          SELECT setting::integer - 8 FROM pg_settings WHERE name = 'track_activity_query_size'),
                      'isOlder', (backend_start >= (reported.answer ->> 'lockedAt')::timestamptz) IS NOT TRUE,
                      'isInner', starts_with(application_name, 'migrate-lock:') AND right(
                          application_name, length(reported.answer ->> 'instanceId') + 1) <> ':' || (reported.answer ->> 'instanceId'))), '[]')
             FROM pg_stat_get_activity(NULL)
            WHERE state IS NOT NULL
              AND pid::text IN (SELECT jsonb_path_query(reported.answer, '$.waits[*].head') #>> '{}'))) AS answer
  FROM (SELECT "migrate_lock".blocking() AS answer OFFSET 0) AS reported
