import type postgres from 'postgres';

/**
 * The contents of a database schema in the system catalogs, without what differs between databases (numbers,
 * times): equal contents mean the same schema.
 */
const PARTS = {
  schema: `
    SELECT nspowner::regrole::text AS owner, nspacl::text AS privileges, obj_description(oid, 'pg_namespace') AS comment
    FROM pg_namespace WHERE oid = $1::oid`,
  relations: `
    SELECT relname, relkind, relpersistence, relowner::regrole::text AS owner, relacl::text AS privileges,
      reloptions::text AS options, relrowsecurity, relforcerowsecurity, relreplident,
      obj_description(oid, 'pg_class') AS comment
    FROM pg_class WHERE relnamespace = $1::oid ORDER BY relname`,
  columns: `
    SELECT relname, attnum, attname, format_type(atttypid, atttypmod) AS type, attnotnull, attidentity, attgenerated,
      (SELECT collname FROM pg_collation WHERE pg_collation.oid = attcollation) AS collation, attstorage, attacl::text AS privileges,
      pg_get_expr(adbin, adrelid) AS "default", col_description(pg_class.oid, attnum) AS comment
    FROM pg_class
    JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = $1::oid ORDER BY relname, attnum`,
  constraints: `
    SELECT conrelid::regclass::text AS on, conname, contype, convalidated, pg_get_constraintdef(oid) AS definition
    FROM pg_constraint WHERE connamespace = $1::oid ORDER BY 1, 2`,
  indexes: `
    SELECT pg_get_indexdef(indexrelid) AS definition, indisunique, indisprimary, indisvalid, indisready
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = $1::oid ORDER BY 1`,
  sequences: `
    SELECT relname, format_type(seqtypid, NULL) AS type, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
      refobjid::regclass::text AS owned_by, refobjsubid, deptype
    FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
    LEFT JOIN pg_depend ON objid = seqrelid AND classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
    WHERE relnamespace = $1::oid ORDER BY relname`,
  // The definition holds the body, SECURITY, volatility, settings, cost and defaults of the arguments.
  functions: `
    SELECT pg_get_functiondef(oid) AS definition, prosecdef, proconfig::text AS settings,
      proowner::regrole::text AS owner, proacl::text AS privileges, obj_description(oid, 'pg_proc') AS comment
    FROM pg_proc WHERE pronamespace = $1::oid ORDER BY 1`,
  triggers: `
    SELECT pg_get_triggerdef(pg_trigger.oid) AS definition, tgenabled
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE relnamespace = $1::oid AND NOT tgisinternal ORDER BY 1`,
  types: `
    SELECT typname, typtype, typacl::text AS privileges FROM pg_type WHERE typnamespace = $1::oid ORDER BY 1`,
} as const;

export type CatalogPart = keyof typeof PARTS | 'version';

/** The objects of the schema, and its one row of data. */
export async function catalogOf(
  sql: postgres.Sql,
  schema: string,
): Promise<Record<CatalogPart, readonly Record<string, unknown>[]>> {
  const [namespace] = await sql<{ oid: number }[]>`SELECT oid FROM pg_namespace WHERE nspname = ${schema}`;
  if (namespace === undefined) throw new Error(`there is no schema ${schema}`);
  const parts = Object.entries(PARTS).map(
    async ([part, statement]) =>
      [part, [...(await sql.unsafe(statement, [namespace.oid]))] as Record<string, unknown>[]] as const,
  );
  const version = await sql`SELECT version, oldest_program FROM ${sql(schema)}.migration_lock_version`;
  const all = Object.fromEntries(await Promise.all(parts));
  return { ...(all as Record<keyof typeof PARTS, Record<string, unknown>[]>), version: [...version] };
}

/**
 * Every catalog row that a statement can create or replace, with its transaction: an unchanged result
 * means that nothing was created, replaced or granted anywhere in the database.
 */
export async function fingerprint(sql: postgres.Sql): Promise<readonly Record<string, unknown>[]> {
  const catalogs = [
    'pg_namespace',
    'pg_proc',
    'pg_constraint',
    'pg_trigger',
    'pg_attrdef',
    'pg_default_acl',
    'pg_extension',
    'pg_type',
  ];
  const rows = catalogs.map(
    (name) => `SELECT '${name}' AS catalog, oid::bigint, xmin::text FROM ${name} WHERE oid >= 16384`,
  );
  // Statistics and vacuum change the rows of relations, so only their names and rights are compared.
  const relations = `SELECT 'pg_class ' || relname || coalesce(relacl::text, ''), oid::bigint, '' FROM pg_class WHERE oid >= 16384`;
  return [...(await sql.unsafe([...rows, relations].join(' UNION ALL ') + ' ORDER BY 1, 2'))];
}
