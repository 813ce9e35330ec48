-- Who waits for the lease's sessions, and what PostgreSQL shows to us ourselves of those that are in the way. isCut: the server may
-- have cut the statement.
SELECT jsonb_build_object('backendPid', pg_backend_pid(), 'told', told.answer, 'seen', (
           SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'pid', pid, 'state', state, 'role', pg_get_userbyid(usesysid),
                      'queryStart', extract(epoch FROM query_start)::text, 'xactStart', extract(epoch FROM xact_start)::text,
                      'statement', left(query, 4000),
                      'isCut', octet_length(query) > (SELECT setting::integer - 8 FROM pg_settings
                                                       WHERE name = 'track_activity_query_size'))), '[]')
             FROM pg_stat_get_activity(NULL)
            WHERE state IS NOT NULL
              AND pid::text IN (SELECT jsonb_path_query(told.answer, '$.waits[*].head') #>> '{}'))) AS answer
  FROM (SELECT "migrate_lock".blocking() AS answer OFFSET 0) AS told
