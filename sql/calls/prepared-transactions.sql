-- Prepared transactions of our role in this database, the oldest 100. They keep their locks until they are ended.
SELECT coalesce(jsonb_agg(to_jsonb(found) ORDER BY found."preparedAtMs"), '[]') AS answer
  FROM (
    SELECT gid, owner AS role, floor(extract(epoch FROM prepared) * 1000)::bigint AS "preparedAtMs",
           format('COMMIT PREPARED %L', gid) AS commit, format('ROLLBACK PREPARED %L', gid) AS rollback
      FROM pg_prepared_xacts
     WHERE database = current_database() AND owner IN (current_user, session_user)
     ORDER BY prepared
     LIMIT 100
  ) AS found
