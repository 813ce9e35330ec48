import type { Database } from '../db/database.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { FEW_CONNECTIONS } from '../lock/pacing.js';
import { fail, ok, unknown, warn, type Check, type Subject } from './check-results.js';
import { checkLock } from './lock-checks.js';
import { readServerFacts, type ServerFacts } from './server-facts.js';
import { checkSession } from './session-checks.js';

export const CONNECTION = 'connection';
export const FREE_CONNECTIONS = 'free-connections';
const OLDEST_SERVER = 120_000;

/** The connection first, as a run opens it; without it, the others are not made. Reads only. */
export async function checkDatabase(
  database: Database,
  connection: ConnectionConfig,
  subject: Subject,
): Promise<Check[]> {
  let facts: ServerFacts;
  try {
    facts = await readServerFacts(database, subject.schema);
  } catch (error) {
    return [unknown(CONNECTION, 'fail', error, subject)];
  }
  const { describe, ignored } = connection;
  return [
    ok(
      CONNECTION,
      ignored.length === 0 ? describe : `${describe}; ignored parameters of the URL: ${ignored.join(', ')}`,
    ),
    checkPrimary(facts),
    checkVersion(facts),
    checkConnections(facts),
    ...(await checkLock(database, facts, subject)),
    ...(await checkSession(connection, facts, subject)),
  ];
}

function checkPrimary({ isReplica }: ServerFacts): Check {
  return isReplica
    ? fail(
        'primary',
        'this server is a replica, or recovers from a crash',
        'A lock can only be taken on the primary. Give its address.',
      )
    : ok('primary', 'this server accepts writes');
}

export function checkVersion({
  version,
  versionNumber,
}: Pick<ServerFacts, 'version' | 'versionNumber'>): Check {
  return versionNumber < OLDEST_SERVER
    ? fail('server-version', `PostgreSQL ${version}`, 'migrate-lock needs PostgreSQL 12 or later.')
    : ok('server-version', `PostgreSQL ${version}`);
}

function checkConnections({ connectionsLeft }: ServerFacts): Check {
  return connectionsLeft < FEW_CONNECTIONS
    ? warn(
        FREE_CONNECTIONS,
        `${Math.max(0, connectionsLeft)} more can be opened`,
        'The command needs some too. Raise max_connections or the CONNECTION LIMIT of the role or the database, or use a pooler.',
      )
    : ok(FREE_CONNECTIONS, `${connectionsLeft} more can be opened`);
}
