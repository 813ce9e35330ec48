-- INVALID indexes on whose table no other session holds SHARE UPDATE EXCLUSIVE, as CREATE INDEX CONCURRENTLY does while it builds
-- one; at most 100. Each with what can be done about it:
--   reindex  builds it. Not for what REINDEX CONCURRENTLY itself left (_ccnew, _ccold), nor for what DROP INDEX CONCURRENTLY has begun
--            to drop. CONCURRENTLY is not possible for an exclusion constraint.
--   drop     removes it. Not for an index of a constraint or of a partitioned index, which would refuse.
-- An INVALID partitioned index only lacks partitions: nothing was cut off.
SELECT coalesce(jsonb_agg(to_jsonb(found) ORDER BY found.schema, found."table", found.name), '[]') AS answer
  FROM (
    SELECT namespace.nspname AS schema, heap.relname AS "table", class.relname AS name,
           CASE WHEN NOT class.relispartition AND NOT EXISTS (
                    SELECT FROM pg_constraint WHERE conindid = index.indexrelid AND contype IN ('p', 'u', 'x'))
                THEN format('DROP INDEX CONCURRENTLY %I.%I', namespace.nspname, class.relname) END AS drop,
           CASE WHEN index.indislive AND heap.relkind <> 't' AND class.relname !~ '_cc(new|old)[0-9]*$'
                THEN format('REINDEX INDEX %s%I.%I', CASE WHEN index.indisexclusion THEN '' ELSE 'CONCURRENTLY ' END,
                         namespace.nspname, class.relname) END AS reindex
      FROM pg_index AS index
      JOIN pg_class AS class ON class.oid = index.indexrelid
      JOIN pg_class AS heap ON heap.oid = index.indrelid
      JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
     WHERE NOT index.indisvalid AND class.relkind = 'i' AND class.relpersistence <> 't'
       AND index.indrelid <> ALL (ARRAY (  -- read once, not for each index
           SELECT held.relation FROM pg_lock_status() AS held
            WHERE held.locktype = 'relation' AND held.mode = 'ShareUpdateExclusiveLock' AND held.granted
              AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND held.pid IS DISTINCT FROM pg_backend_pid()))
     ORDER BY 1, 2, 3
     LIMIT 100
  ) AS found
