import { formatDuration } from '../text/duration.js';
import { ok, warn, type Check } from './check.js';
import type { ServerFacts, SessionFacts } from './server-facts.js';

/** A shorter one fails a migration for a moment's wait. */
const SHORT_LOCK_TIMEOUT_MS = 1_000;
/** A shorter one ends the session of a tool that computes between two statements. */
const SHORT_IDLE_TIMEOUT_MS = 60_000;

/** Settings of the role, the database or the server, which migrate-lock overrides for its own sessions, but not for the command's. */
export function checkSettings(session: SessionFacts, facts: ServerFacts, schema: string): Check[] {
  return [
    ...checkTimeouts(session),
    checkReadOnly(session, facts),
    checkRole(session),
    checkSearchPath(session, schema),
  ];
}

function checkTimeouts({ timeouts }: SessionFacts): Check[] {
  const {
    statement_timeout: statement,
    lock_timeout: lock,
    idle_in_transaction_session_timeout: idle,
  } = timeouts;
  const shown = ({ ms, source }: { ms: number; source: string }): string =>
    ms === 0 ? 'none' : `${formatDuration(ms)} (${source})`;
  return [
    statement.ms === 0
      ? ok('statement_timeout', shown(statement))
      : warn(
          'statement_timeout',
          `${shown(statement)}: a longer statement of the command is cancelled`,
          'Let the migration set it to 0, or run it as a role without it: ALTER ROLE ... SET statement_timeout = 0.',
        ),
    lock.ms === 0 || lock.ms >= SHORT_LOCK_TIMEOUT_MS
      ? ok('lock_timeout', shown(lock))
      : warn(
          'lock_timeout',
          `${shown(lock)}: a statement of the command that waits longer for a lock fails`,
          'Set a longer one for the migration, or let it try again.',
        ),
    idle.ms === 0 || idle.ms >= SHORT_IDLE_TIMEOUT_MS
      ? ok('idle_in_transaction_session_timeout', shown(idle))
      : warn(
          'idle_in_transaction_session_timeout',
          `${shown(idle)}: a session of the command is ended that pauses longer between two statements`,
          'Set a longer one for the migration.',
        ),
  ];
}

function checkReadOnly({ isReadOnly }: SessionFacts, { isReplica }: ServerFacts): Check {
  return isReadOnly && !isReplica
    ? warn(
        'read-only',
        'transactions of the command are read only (default_transaction_read_only)',
        'The lock works, but a migration that does not begin READ WRITE fails. ALTER ROLE ... SET default_transaction_read_only = off.',
      )
    : ok('read-only', isReadOnly ? 'a replica' : 'no');
}

function checkRole({ login, role }: SessionFacts): Check {
  return role === login
    ? ok('role', login)
    : warn(
        'role',
        `${login} acts as ${role} (a setting of the role or the database)`,
        `What the command creates belongs to ${role}. If that is not meant: ALTER ROLE ... RESET role.`,
      );
}

function checkSearchPath({ schema, searchPath }: SessionFacts, lockSchema: string): Check {
  if (schema === null) {
    return warn(
      'search_path',
      `no schema of the search_path (${searchPath}) is there, or may be used`,
      'A migration that names no schema fails. Create the schema, GRANT USAGE on it, or set the search_path.',
    );
  }
  return schema === lockSchema
    ? warn(
        'search_path',
        `tables of the command are created in the lock schema "${lockSchema}"`,
        'Set a search_path that begins with a schema of the application.',
      )
    : ok('search_path', `${searchPath}; tables are created in ${schema}`);
}
