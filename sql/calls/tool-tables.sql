-- The tables in which migration tools keep their own lock, or their unfinished work, in any schema, each with the statement that
-- reads it. A table is known by its columns, since its name can be configured. It belongs to the application, and its owner may
-- be malicious: so it is read by COPY, which runs no code, and only where it is an ordinary table without policies, of types of the
-- server's own, and small. row_security = off makes COPY fail where a policy was added since.
-- (23: integer, 16: boolean, 1043: character varying, 1114: timestamp, 1184: timestamp with time zone.)
SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
           'tool', found.tool, 'schema', found.schema, 'table', found.name,
           'statement', pg_catalog.format('COPY %I.%I (%s) TO STDOUT', found.schema, found.name, found.columns))
           ORDER BY found.schema, found.name), '[]') AS answer
  FROM (
    SELECT known.tool, namespace.nspname AS schema, class.relname AS name, class.oid, attribute.columns
      FROM (VALUES
             ('knex', '%\_lock', 2, ARRAY['index 23', 'is_locked 23'], ARRAY['is_locked']),
             ('liquibase', '%lock%', 4, ARRAY['id 23', 'locked 16', 'lockgranted 1114', 'lockedby 1043'],
                 ARRAY['locked', 'lockgranted']),
             ('prisma', '\_prisma\_migrations', 8,
                 ARRAY['migration_name 1043', 'checksum 1043', 'finished_at 1184', 'rolled_back_at 1184',
                       'applied_steps_count 23'],
                 ARRAY['migration_name', 'checksum', 'finished_at', 'rolled_back_at', 'applied_steps_count'])
           ) AS known (tool, pattern, width, has, reads)
      JOIN pg_class AS class ON lower(class.relname::text) LIKE known.pattern
      JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
     CROSS JOIN LATERAL (
           SELECT array_agg(lower(attname::text) || ' ' || atttypid) AS has, count(*) AS width,
                  string_agg(quote_ident(attname), ', ' ORDER BY array_position(known.reads, lower(attname::text)))
                      FILTER (WHERE lower(attname::text) = ANY (known.reads)) AS columns
             FROM pg_attribute
            WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
           ) AS attribute
     WHERE class.relkind = 'r' AND class.relpersistence <> 't' AND NOT class.relrowsecurity
       AND attribute.width = known.width AND known.has <@ attribute.has
       AND has_schema_privilege(namespace.oid, 'USAGE') AND has_table_privilege(class.oid, 'SELECT')
    OFFSET 0 -- the size only of these
  ) AS found
 WHERE pg_table_size(found.oid) <= 16777216
