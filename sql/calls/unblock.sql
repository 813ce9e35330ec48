-- Cancels or ends a session of our lease that is in the way, with the rights of the owner of the lock. It is still busy with the
-- statement that we have seen ($7: its start), or in the same transaction ($8), in which no CONCURRENTLY form can follow.
SELECT CASE WHEN EXISTS (
                SELECT FROM pg_stat_get_activity($3::integer) AS session
                 WHERE extract(epoch FROM session.query_start)::text = $7::text OR extract(epoch FROM session.xact_start)::text = $8::text)
            THEN "migrate_lock".unblock(
                p_instance_id => $1, p_secret => $2, p_pid => $3::integer, p_waiter => $4, p_waited_ms => $5, p_how => $6)
            ELSE '{"outcome": "passed"}' END AS answer
