import { isAbsent } from '../db/classify.js';
import type { Database } from '../db/database.js';
import { integer, object } from '../db/shape.js';
import { MigrateLockError } from '../errors.js';
import { CALLS } from '../generated/sql.js';
import { trustedSchema } from './owners.js';
import { renderSql } from './render.js';

/** The version of the lock schema that this program was built for. */
export const SCHEMA_VERSION = 1;

const version = integer(1, 1e6);
const shape = object<SchemaState>({ version, oldestProgram: version });

/** @throws {InvalidAnswer} */
export function readSchemaState(answer: unknown): SchemaState {
  return shape(answer, 'version()');
}

export interface SchemaState {
  version: number;
  /** The oldest program, by the schema version that it was built for, that may use this schema. */
  oldestProgram: number;
}

/**
 * One read, which needs no right but to call the function.
 * @returns null when there is no lock schema yet.
 */
export async function readSchemaVersion(
  database: Database,
  schema: string,
  limitMs: number,
): Promise<SchemaState | null> {
  try {
    const answer = await database.call({
      name: 'read the version of the lock schema',
      statement: renderSql(CALLS.version, schema),
      parameters: [],
      limitMs,
      precondition: trustedSchema(schema),
    });
    return readSchemaState(answer);
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

/**
 * Whether the schema is as this program needs it, or newer and still usable by it.
 * @throws {MigrateLockError} SCHEMA_TOO_NEW when this program is older than the schema allows.
 */
export function isUsable(
  state: SchemaState | null,
  schema: string,
  programVersion = SCHEMA_VERSION,
): boolean {
  if (state === null || state.version < programVersion) return false;
  if (state.oldestProgram > programVersion) {
    throw new MigrateLockError(
      `The lock schema "${schema}" has version ${state.version} and can be used by programs for version ` +
        `${state.oldestProgram} or later; this migrate-lock is for version ${programVersion}.`,
      {
        code: 'SCHEMA_TOO_NEW',
        exit: 'refused',
        hint: 'Use a newer migrate-lock here: the schema was upgraded by one. Nothing was changed.',
      },
    );
  }
  return true;
}
