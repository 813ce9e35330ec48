import { UsageError } from '../errors.js';
import { whyNotFixed } from '../text/fixed-name.js';

/** PostgreSQL cuts longer identifiers off: two different names would be one lock. */
const MAX_IDENTIFIER_BYTES = 63;

/**
 * Checks the name of the lock's schema; it is quoted everywhere. `name` is where it was given.
 * @throws {UsageError} when PostgreSQL cannot have it, when it is a URL, or when a variable in it is empty or was not expanded:
 * another schema is another lock.
 */
export function checkSchemaName(schema: string, name = '--schema'): string {
  const problem = schemaNameProblem(schema);
  if (problem !== undefined)
    throw new UsageError(`${name} ${problem}.`, 'Use a plain name, as migrate_lock.');
  return schema;
}

function schemaNameProblem(schema: string): string | undefined {
  if (schema === '') return 'is empty';
  // Every event would show it, with its password.
  if (schema.includes('://')) return 'is a URL';
  if (schema.includes('\0')) return 'contains a NUL character';
  if (Buffer.byteLength(schema) > MAX_IDENTIFIER_BYTES) return `is longer than ${MAX_IDENTIFIER_BYTES} bytes`;
  if (schema.startsWith('pg_')) return `${schema}: names that begin with pg_ are PostgreSQL's own`;
  if (schema === 'information_schema') return "is PostgreSQL's own: no dump contains it";
  return whyNotFixed(schema, { mayMove: true });
}
