import { UsageError } from '../errors.js';

const PLACEHOLDER = '"migrate_lock"';
const LITERAL_PLACEHOLDER = "'migrate_lock'";
const BODY_TAG = '$body$';
/** PostgreSQL cuts longer identifiers off: two different names would be one lock. */
const MAX_IDENTIFIER_BYTES = 63;

/**
 * Checks a schema name. Any identifier that PostgreSQL can have is allowed, as it is quoted everywhere.
 * @throws {UsageError} when it is empty, too long, contains NUL, is reserved, or is a URL.
 */
export function checkSchemaName(schema: string): string {
  const example = 'Use a plain name, for example --schema migrate_lock.';
  if (schema === '') throw new UsageError('--schema is empty.', example);
  // It would be told in every event, password and all.
  if (schema.includes('://')) throw new UsageError('--schema is a URL.', example);
  if (schema.includes('\0')) throw new UsageError('--schema contains a NUL character.', example);
  if (Buffer.byteLength(schema) > MAX_IDENTIFIER_BYTES) {
    throw new UsageError(`--schema is longer than ${MAX_IDENTIFIER_BYTES} bytes.`, example);
  }
  if (schema.startsWith('pg_')) {
    throw new UsageError(`--schema ${schema}: names that begin with pg_ are PostgreSQL's own.`, example);
  }
  return schema;
}

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as a literal of SQL. What the program sends are parameters, but for the schema's name. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** Puts the schema's quoted name into a text of sql/, as an identifier or as a literal. It is the one thing that is interpolated. */
export function renderSql(sql: string, schema: string): string {
  let tag = BODY_TAG;
  // A name that contains the delimiter of the function bodies would end them.
  for (let n = 1; schema.includes(tag); n++) tag = `$body${n}$`;
  // Replacer functions: `$&` and the like in a name are no patterns.
  return sql
    .replaceAll(BODY_TAG, () => tag)
    .replaceAll(LITERAL_PLACEHOLDER, () => quoteLiteral(schema))
    .replaceAll(PLACEHOLDER, () => quoteIdentifier(schema));
}
