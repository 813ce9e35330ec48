import type postgres from 'postgres';
import { ABSENT_SCHEMA, classify, errorCode, IN_RECOVERY, NO_PRIMARY } from './classify.js';
import type { Connection } from './connection.js';
import { codedError, type Address } from './socket.js';
import { timeLimit } from './time-limit.js';

type Open = (address: Address, limitMs: number) => Promise<Connection>;

/**
 * Connects to the first of several hosts that accepts writes, for any target_session_attrs: a replica is of no use
 * here. As with libpq, a host that is down is skipped, and one that refuses the connection ends the search.
 * @throws NO_PRIMARY when one was a replica, otherwise the last host's code; the message names each.
 */
export async function connectToPrimary(
  hosts: readonly Address[],
  limitMs: number,
  open: Open,
): Promise<Connection> {
  const endsAtMs = performance.now() + limitMs;
  const found: string[] = [];
  let code: string | undefined;
  for (const [index, address] of hosts.entries()) {
    // A first host that does not answer must leave time for the others.
    const shareMs = Math.max(1, (endsAtMs - performance.now()) / (hosts.length - index));
    const name = `${address.host}:${address.port}`;
    try {
      const connection = await openIfPrimary(address, shareMs, open);
      if (connection !== null) return connection;
      code = NO_PRIMARY;
      found.push(`${name} is a replica`);
    } catch (error) {
      if (classify(error) !== 'unavailable') throw error;
      if (code !== NO_PRIMARY) code = errorCode(error);
      found.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw codedError(code ?? 'ENOTFOUND', `none of its hosts can be used (${found.join('; ')})`);
}

async function openIfPrimary(address: Address, limitMs: number, open: Open): Promise<Connection | null> {
  const limit = timeLimit('find the primary', limitMs, limitMs);
  const opening = open(address, limitMs);
  let isPrimary = false;
  try {
    isPrimary = await Promise.race([opening.then(takesWrites), limit.passed]);
    return isPrimary ? await opening : null;
  } finally {
    limit.clear();
    if (!isPrimary) opening.then(({ destroy }) => destroy()).catch(() => undefined);
  }
}

/** Older servers and poolers do not report it at the start-up. */
async function takesWrites({ sql }: { sql: Pick<postgres.Sql, 'unsafe'> }): Promise<boolean> {
  const [row] = await sql.unsafe<{ is_replica: boolean }[]>(
    '/*NO LOAD BALANCE*/ SELECT pg_catalog.pg_is_in_recovery() AS is_replica',
  );
  return row?.is_replica === false;
}

/**
 * With these SQLSTATEs a server in recovery refuses to write, or to read an unlogged table. The last one is the lock's
 * own: a server that replays its log does not have the newest schemas yet. Other statements fail with them too.
 */
const REFUSALS = new Set(['0A000', '25006', ABSENT_SCHEMA]);

/** Checks on the session of a failed call whether its server is in recovery, if that may be the reason. */
export async function asReplica(
  error: unknown,
  sql: Pick<postgres.Sql, 'unsafe'> | undefined,
): Promise<unknown> {
  if (sql === undefined || !REFUSALS.has(errorCode(error)) || !(error instanceof Error)) return error;
  const isPrimary = await takesWrites({ sql }).catch(() => true);
  if (isPrimary) return error;
  const said = `the server is in recovery: it is a replica, or not a primary again yet (${error.message})`;
  return codedError(IN_RECOVERY, said, error);
}
