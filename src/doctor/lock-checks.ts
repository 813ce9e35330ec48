import type { Database } from '../db/database.js';
import { notOwner } from '../schema/apply.js';
import { quoteWord } from '../redact/shell-words.js';
import { quoteIdentifier } from '../schema/render.js';
import { isUsable, readSchemaVersion, SCHEMA_VERSION } from '../schema/schema-version.js';
import { fail, ok, unknown, warn, type Check, type Subject } from './check-results.js';
import { LIMIT_MS, type ServerFacts } from './server-facts.js';

export const LOCK_SCHEMA = 'lock-schema';

/** The lock schema and, where it can be trusted and is there, what this role and its owner may do. */
export async function checkLock(
  database: Database,
  { schema: found, role, mayCreate }: ServerFacts,
  subject: Subject,
): Promise<Check[]> {
  const { schema } = subject;
  try {
    const state = await readSchemaVersion(database, schema, LIMIT_MS);
    if (found !== null && isUsable(state, schema)) {
      if (found.missing.length > 0) return [incomplete(schema, found.missing)];
      return [ok(LOCK_SCHEMA, `"${schema}", version ${state?.version}`), ...checkRights(found, role, schema)];
    }
    if (found === null) {
      return [
        mayCreate
          ? ok(LOCK_SCHEMA, `"${schema}" is not there yet: the first run applies it`)
          : fail(
              LOCK_SCHEMA,
              `"${schema}" is not there yet, and the role ${role} may not create it`,
              `Let the owner of the database, or a database administrator, run \`migrate-lock init --grant-to ${quoteWord(role)}\`.`,
            ),
      ];
    }
    if (!found.isOwner) throw notOwner(schema, found.owner);
    const has =
      state === null ? 'has no lock in it yet' : `has version ${state.version}, not ${SCHEMA_VERSION}`;
    return [ok(LOCK_SCHEMA, `"${schema}" ${has}: the first run applies it`)];
  } catch (error) {
    return [unknown(LOCK_SCHEMA, 'fail', error, subject)];
  }
}

function incomplete(schema: string, missing: string[]): Check {
  return fail(
    LOCK_SCHEMA,
    `"${schema}" is incomplete: it has no function ${missing.join(', ')}`,
    'Restore it from a backup. Or drop the schema while no run is active, and run `migrate-lock init`: the history is then gone.',
  );
}

function checkRights(
  { owner, mayNotCall, canEnd, canSee }: NonNullable<ServerFacts['schema']>,
  role: string,
  schema: string,
): Check[] {
  const lacks = (right: string): string =>
    `A database administrator can change that: GRANT ${right} TO ${quoteIdentifier(owner)};`;
  return [
    mayNotCall.length > 0
      ? fail(
          'right-to-use',
          `the role ${role} may not use the lock (${mayNotCall.join(', ')})`,
          `Ask the owner of the lock schema "${schema}", the role ${owner}, to run \`migrate-lock init --grant-to ${quoteWord(role)}\`.`,
        )
      : ok('right-to-use', `the role ${role} may use the lock`),
    canEnd
      ? ok('right-to-end-sessions', `${owner}, the owner of the lock, may end the command's sessions`)
      : warn(
          'right-to-end-sessions',
          `${owner}, the owner of the lock, may not end the command's sessions: those that a crashed run leaves are waited for`,
          lacks('pg_signal_backend'),
        ),
    canSee
      ? ok('right-to-see-sessions', `${owner}, the owner of the lock, sees what the command's sessions do`)
      : warn(
          'right-to-see-sessions',
          `${owner}, the owner of the lock, does not see what the command's sessions do`,
          lacks('pg_read_all_stats'),
        ),
  ];
}
