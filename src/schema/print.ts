import { DEFINITION, type SchemaDefinition } from './apply.js';
import { renderSql } from './render.js';

const SETTINGS = 'SET LOCAL search_path = pg_catalog, pg_temp;\nSET LOCAL check_function_bodies = off;\n';

/**
 * The whole schema as one SQL script, in one transaction with the statements that are to follow it, for an administrator to
 * read and to apply with psql.
 */
export function printSchema(
  schema: string,
  following: readonly string[] = [],
  { steps, functions }: SchemaDefinition = DEFINITION,
): string {
  const parts = [...steps.flatMap(({ files }) => files), ...functions].map(
    ({ name, sql }) => `-- ${name}\n${renderSql(sql, schema).trim()}\n`,
  );
  return ['BEGIN;\n', SETTINGS, ...parts, ...following.map((sql) => `${sql}\n`), 'COMMIT;\n'].join('\n');
}
