import type { Database } from '../db/database.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { isUsable, readSchemaVersion, SCHEMA_VERSION } from '../schema/schema-version.js';
import { formatDuration } from '../text/duration.js';
import { fail, ok, unknown, warn, type Check, type Subject } from './check.js';
import { LIMIT_MS, PlainSession, readServerFacts, type Path, type ServerFacts } from './server-facts.js';
import { checkSettings } from './setting-checks.js';

const OLDEST_SERVER = 120_000;
/** With fewer, waiters keep none open, and the command may find none (src/lock/pacing.ts). */
const FEW_CONNECTIONS = 5;
const SLOW_ROUND_TRIP_MS = 250;
const CLOCK_DIFFERENCE_MS = 2_000;

/** The connection first; without it, the others are not made. Reads only. */
export async function checkDatabase(
  database: Database,
  connection: ConnectionConfig,
  schema: string,
): Promise<{ checks: Check[]; isReachable: boolean }> {
  const subject = { database: connection.describe, schema };
  let facts: ServerFacts;
  let plain: PlainSession;
  try {
    facts = await readServerFacts(database, schema);
    plain = await PlainSession.open(connection);
  } catch (error) {
    return { checks: [unknown('connection', 'fail', error, subject)], isReachable: false };
  }
  try {
    const { session, path } = await plain.facts();
    const checks = [
      ok('connection', connection.describe),
      checkTls(plain.connection.tlsVersion, connection),
      checkPrimary(facts),
      checkVersion(facts),
      checkPath(path),
      await checkSchema(database, facts, subject),
      ...checkRights(facts, subject),
      checkConnections(facts),
      ...checkSettings(session, facts, schema),
      await checkListen(plain, path, facts, subject),
      ...(await checkClock(plain)),
    ];
    return { checks, isReachable: true };
  } catch (error) {
    return { checks: [unknown('connection', 'fail', error, subject)], isReachable: false };
  } finally {
    plain.close();
  }
}

/** Exported for tests, as are the others that depend on one value. */
export function checkTls(
  tlsVersion: string | null,
  { ssl, hosts }: Pick<ConnectionConfig, 'ssl' | 'hosts'>,
): Check {
  if (tlsVersion === null) {
    return hosts.every(({ host, hostaddr }) => isHere(hostaddr ?? host))
      ? ok('tls', 'not encrypted; the server is on this machine')
      : warn(
          'tls',
          'the connection is not encrypted',
          'Set sslmode=verify-full, or do without only on a network that no other party can use.',
        );
  }
  return ssl === 'verify-full' || ssl === 'verify-ca'
    ? ok('tls', `${tlsVersion}, sslmode=${ssl}`)
    : warn(
        'tls',
        `${tlsVersion}, but with sslmode=${ssl} the server's certificate is not verified`,
        'Set sslmode=verify-full, and sslrootcert where the authority is not a public one.',
      );
}

function isHere(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.[\d.]+$/.test(host);
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

export function checkPath(path: Path): Check {
  switch (path) {
    case 'direct':
      return ok('pooler', 'none');
    case 'relayed':
      return ok('pooler', 'none; a relay or an address translation is between this machine and the server');
    case 'pooled':
    case 'pgpool-II':
    case 'RDS Proxy':
      return warn(
        'pooler',
        `${path === 'pooled' ? 'a pooler, such as PgBouncer,' : path} is in front of the server`,
        'It works, but what a killed command left is waited for, not ended. ' +
          "Give migrate-lock and the command the server's own address, if you can.",
      );
  }
}

async function checkSchema(database: Database, facts: ServerFacts, subject: Subject): Promise<Check> {
  const { schema } = subject;
  const name = 'lock-schema';
  try {
    const state = await readSchemaVersion(database, schema, LIMIT_MS);
    if (isUsable(state, schema)) return ok(name, `"${schema}", version ${state?.version}`);
    const found = state === null ? 'is not there yet' : `has version ${state.version}, not ${SCHEMA_VERSION}`;
    if (facts.schemaExists ? facts.isOwner : facts.mayCreate)
      return ok(name, `"${schema}" ${found}: the first run applies it`);
    return fail(
      name,
      `"${schema}" ${found}, and the role ${facts.role} may not create it`,
      'Let its owner, or a database administrator, run `migrate-lock init`, with --grant-to and this role.',
    );
  } catch (error) {
    return unknown(name, 'fail', error, subject);
  }
}

function checkRights(facts: ServerFacts, { schema }: Subject): Check[] {
  const { role, owner, mayNotCall, canEnd, canSee } = facts;
  const lacks = (right: string): string => `GRANT ${right} TO ${owner}.`;
  return [
    mayNotCall.length > 0
      ? fail(
          'right-to-use',
          `the role ${role} may not use the lock (${mayNotCall.join(', ')})`,
          `Ask the owner of the lock schema "${schema}", the role ${owner}, to run \`migrate-lock init\` with --grant-to and this role.`,
        )
      : ok('right-to-use', `the role ${role} may use the lock`),
    canEnd
      ? ok('right-to-end-sessions', `${owner}, who owns the lock, may end the sessions of ${role}`)
      : warn(
          'right-to-end-sessions',
          `${owner}, who owns the lock, may not end the sessions of ${role}: those that a crashed run leaves are waited for`,
          lacks('pg_signal_backend'),
        ),
    canSee
      ? ok('right-to-see-sessions', `${owner}, who owns the lock, sees the sessions of ${role}`)
      : warn(
          'right-to-see-sessions',
          `${owner}, who owns the lock, does not see what the sessions of ${role} do`,
          lacks('pg_read_all_stats'),
        ),
  ];
}

function checkConnections({ connectionsLeft }: ServerFacts): Check {
  return connectionsLeft < FEW_CONNECTIONS
    ? warn(
        'free-connections',
        `${Math.max(0, connectionsLeft)} more can be opened`,
        'The command needs some too. Raise max_connections or the CONNECTION LIMIT of the role or the database, or use a pooler.',
      )
    : ok('free-connections', `${connectionsLeft} more can be opened`);
}

async function checkListen(
  plain: PlainSession,
  path: Path,
  { isReplica }: ServerFacts,
  subject: Subject,
): Promise<Check> {
  if (path !== 'direct' && path !== 'relayed') {
    return warn(
      'listen',
      'notifications do not pass a pooler: a waiter learns of a release at its next poll',
      "Give the server's own address, if a second matters.",
    );
  }
  if (isReplica) return warn('listen', 'a replica has no notifications', 'Give the address of the primary.');
  try {
    await plain.listen(subject.schema);
    return ok('listen', 'a waiter can be notified of a release');
  } catch (error) {
    return unknown('listen', 'warn', error, subject);
  }
}

async function checkClock(plain: PlainSession): Promise<Check[]> {
  const { roundTripMs, aheadMs } = await plain.clock();
  return [judgeRoundTrip(roundTripMs), judgeClock(aheadMs)];
}

function judgeRoundTrip(roundTripMs: number): Check {
  return roundTripMs > SLOW_ROUND_TRIP_MS
    ? warn(
        'round-trip',
        formatDuration(roundTripMs),
        'Each call of the lock takes this long or longer. Run the migration nearer to the database.',
      )
    : ok('round-trip', roundTripMs < 1 ? 'less than 1ms' : formatDuration(roundTripMs));
}

function judgeClock(aheadMs: number): Check {
  const difference = formatDuration(Math.abs(aheadMs));
  return Math.abs(aheadMs) > CLOCK_DIFFERENCE_MS
    ? warn(
        'clock',
        `the database's clock is ${difference} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine's`,
        "Only the database's clock decides who holds the lease, but times in logs will not match. Synchronize both (NTP).",
      )
    : ok('clock', `differs from the database's by ${difference}`);
}
