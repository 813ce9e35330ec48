import { errorCode } from '../db/classify.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { formatDuration } from '../text/duration.js';
import { ok, unknown, warn, type Check, type Subject } from './check-results.js';
import { PlainSession, type Path, type ServerFacts } from './server-facts.js';
import { checkSettings } from './setting-checks.js';

const SLOW_ROUND_TRIP_MS = 250;
const CLOCK_DIFFERENCE_MS = 2_000;
/** SQLSTATE: statement_timeout, and the timeouts that end a session. A run overrides them or is quicker; its command is not. */
const TIMEOUTS = new Set(['57014', '25P03', '25P04', '57P05']);
/** SQLSTATE: too many connections. A run needs one at a time. */
const NO_CONNECTION_LEFT = '53300';

/** What a session finds that has no settings of ours, as the command's sessions do. Reads only. */
export async function checkSession(
  connection: ConnectionConfig,
  facts: ServerFacts,
  subject: Subject,
): Promise<Check[]> {
  let plain: PlainSession | undefined;
  try {
    plain = await PlainSession.open(connection);
    const { session, path } = await plain.facts();
    return [
      checkTls(plain.connection.tlsVersion, connection),
      checkPath(path, session.backendPid === facts.backendPid),
      ...checkSettings(session, facts, subject.schema),
      await checkListen(plain, path, facts, subject),
      ...(await checkClock(plain)),
    ];
  } catch (error) {
    return [judgeFailure(error, subject)];
  } finally {
    plain?.close();
  }
}

function judgeFailure(error: unknown, subject: Subject): Check {
  const name = 'session';
  const code = errorCode(error);
  const said = error instanceof Error ? error.message : String(error);
  if (TIMEOUTS.has(code)) {
    return warn(
      name,
      `a session with the settings of the role and the database fails: ${said}`,
      "The command's sessions fail so, too. `\\drds` in psql shows what ALTER ROLE and ALTER DATABASE have set.",
    );
  }
  if (code === NO_CONNECTION_LEFT) {
    return warn(
      name,
      `a second connection is refused: ${said}`,
      'A run needs one connection at a time, but so does the command. What needs a second one was not checked.',
    );
  }
  return unknown(name, 'fail', error, subject);
}

/** Exported for tests. */
export function checkTls(
  tlsVersion: string | null,
  { ssl, hosts }: Pick<ConnectionConfig, 'ssl' | 'hosts'>,
): Check {
  const isVerified = ssl === 'verify-full' || ssl === 'verify-ca';
  if (tlsVersion !== null && isVerified) return ok('tls', `${tlsVersion}, sslmode=${ssl}`);
  if (hosts.every(({ host, hostaddr }) => isHere(hostaddr ?? host)))
    return ok('tls', `${tlsVersion ?? 'not encrypted'}; the server is on this machine`);
  return tlsVersion === null
    ? warn(
        'tls',
        'the connection is not encrypted',
        'Set sslmode=verify-full, or do without only on a network that no other party can use.',
      )
    : warn(
        'tls',
        `${tlsVersion}, but with sslmode=${ssl} the server's certificate is not verified`,
        'Set sslmode=verify-full, and sslrootcert where the authority is not a public one.',
      );
}

function isHere(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.[\d.]+$/.test(host);
}

/** `isShared`: one session of the server answered two clients that were connected at the same time. */
function checkPath(path: Path, isShared: boolean): Check {
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
        `${path === 'pooled' ? 'a pooler, such as PgBouncer,' : path} is in front of the server` +
          (isShared ? ', and pools transactions: sessions of the server change between clients' : ''),
        'It works, but what a killed command left is waited for, not ended. ' +
          (isShared ? 'A tool that needs its session, as for an advisory lock or SET, can fail. ' : '') +
          "Give migrate-lock and the command the server's own address, if you can.",
      );
  }
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
