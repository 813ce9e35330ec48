-- `reported`: what the owner of the lock shows of the lease's sessions. `visible`: what PostgreSQL shows to our own role of them and of what
-- blocks them, with the statement for sessions of this database that bear the lease's name. Long statements are cut, as the server does.
SELECT jsonb_build_object('reported', reported.answer, 'visible', (
           SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'pid', pid, 'state', state,
                      'stateMs', (extract(epoch FROM clock_timestamp() - state_change) * 1000)::bigint,
                      'openMs', (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint,
                      'waitEvent', wait_event_type || ': ' || wait_event,
                      'statement', CASE WHEN starts_with(application_name, 'migrate-lock:')
                                         AND reported.answer ->> 'instanceId' = ANY (string_to_array(substr(application_name, 14), ':'))
                                         AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())
                                        THEN left(query, 4000) END)), '[]')
             FROM pg_stat_get_activity(NULL)
            WHERE state IS NOT NULL
              AND pid::text IN (
                  SELECT jsonb_path_query(reported.answer, '$.sessions[*].pid') #>> '{}' UNION ALL
                  SELECT jsonb_path_query(reported.answer, '$.sessions[*].waiting.blockers[*].pid') #>> '{}'))) AS answer
  FROM (SELECT "migrate_lock".activity() AS answer OFFSET 0) AS reported
