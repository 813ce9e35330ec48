import { quoteIdentifier } from '../schema/render.js';
import { formatDuration } from '../text/duration.js';
import { ok, warn, type Check } from './check-results.js';
import type { ServerFacts, SessionFacts, TimeoutName } from './server-facts.js';

interface TimeoutRule {
  /** A shorter one is a warning. */
  enoughMs: number;
  effect: string;
  better: string;
}

const RULES: Record<TimeoutName, TimeoutRule> = {
  statement_timeout: {
    enoughMs: Infinity,
    effect: 'a longer statement of the command is cancelled',
    better: '0',
  },
  transaction_timeout: {
    enoughMs: Infinity,
    effect: 'a longer transaction of the command ends its session',
    better: '0',
  },
  // A shorter one fails a migration for a moment's wait.
  lock_timeout: {
    enoughMs: 1_000,
    effect: 'a statement of the command that waits longer for a lock fails',
    better: "'10s'",
  },
  // A shorter one ends the session of a tool that computes between two statements.
  idle_in_transaction_session_timeout: {
    enoughMs: 60_000,
    effect: 'a session of the command that pauses longer in a transaction is ended',
    better: "'10min'",
  },
};

/** As pg_settings calls the source of a setting. */
const SOURCES: Record<string, string> = {
  user: 'of the role',
  database: 'of the database',
  'database user': 'of the role in this database',
  client: 'of PGOPTIONS, or of the URL',
};

/** Settings of the role, the database or the server, which migrate-lock overrides for its own sessions, but not for the command's. */
export function checkSettings(session: SessionFacts, facts: ServerFacts, schema: string): Check[] {
  return [
    ...checkTimeouts(session),
    checkReadOnly(session, facts),
    checkRole(session),
    checkSearchPath(session, schema),
  ];
}

function checkTimeouts(session: SessionFacts): Check[] {
  return (Object.keys(RULES) as TimeoutName[]).map((name) => {
    const { enoughMs, effect, better } = RULES[name];
    const { ms, source } = session.timeouts[name];
    if (ms === 0) return ok(name, 'none');
    const shown = `${formatDuration(ms)} (${SOURCES[source] ?? 'of the server'})`;
    if (ms >= enoughMs) return ok(name, shown);
    const change =
      source === 'client' ? 'leave it out there' : `for its role: ${alterRole(session, name, better)}`;
    return warn(name, `${shown}: ${effect}`, `Set another one in the migration, or ${change}`);
  });
}

/** What overrides every other setting of the role, the database and the server. */
function alterRole({ login, database }: SessionFacts, name: string, value: string): string {
  return `ALTER ROLE ${quoteIdentifier(login)} IN DATABASE ${quoteIdentifier(database)} SET ${name} = ${value};`;
}

function checkReadOnly(session: SessionFacts, { isReplica }: ServerFacts): Check {
  return session.isReadOnly && !isReplica
    ? warn(
        'read-only',
        'transactions of the command are read only (default_transaction_read_only)',
        'The lock works, but a migration that does not begin READ WRITE fails. ' +
          alterRole(session, 'default_transaction_read_only', 'off'),
      )
    : ok('read-only', session.isReadOnly ? 'a replica' : 'no');
}

function checkRole(session: SessionFacts): Check {
  const { login, role } = session;
  return role === login
    ? ok('role', login)
    : warn(
        'role',
        `${login} acts as ${role} (a setting of the role or the database)`,
        `What the command creates belongs to ${role}. If that is not meant: ${alterRole(session, 'role', "'none'")}`,
      );
}

function checkSearchPath({ role, schema, mayCreate, searchPath }: SessionFacts, lockSchema: string): Check {
  if (schema === null) {
    return warn(
      'search_path',
      `no schema of the search_path (${searchPath}) is there, or may be used`,
      'A migration that names no schema fails. Create the schema, GRANT USAGE on it, or set the search_path.',
    );
  }
  if (schema === lockSchema) {
    return warn(
      'search_path',
      `tables of the command are created in the lock schema "${lockSchema}"`,
      'Set a search_path that begins with a schema of the application.',
    );
  }
  return mayCreate
    ? ok('search_path', `${searchPath}; tables are created in ${schema}`)
    : warn(
        'search_path',
        `${searchPath}; tables would be created in ${schema}, and the role ${role} may not create any there`,
        `If the migration creates tables there: GRANT CREATE ON SCHEMA ${quoteIdentifier(schema)} TO ${quoteIdentifier(role)};`,
      );
}
