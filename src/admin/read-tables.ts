import { classify, errorCode, UNTRUSTED_SCHEMA } from '../db/classify.js';
import { copyRows, type CopiedRow } from '../db/copy-rows.js';
import type { Database, Session } from '../db/database.js';
import { CALLS } from '../generated/sql.js';
import { readOwners, refuseSuperuser, untrusted, type SchemaOwners } from '../schema/owners.js';
import { renderSql } from '../schema/render.js';
import type { HistoryRow, LockStatus, UncleanEnd } from '../lock/answers.js';

/**
 * Status and history for a superuser, where the lock belongs to a role that is not one: a superuser calls no function
 * of it. COPY runs no code.
 */

const LIMIT_MS = 15_000;
/** As status() in sql/functions/status.sql. */
const MOST_ENDS = 100;
const PERMISSION_DENIED = '42501';

/**
 * Whether the tables have to be read, because `error` refused the functions to this role. Where other roles can change
 * the schema, neither is read.
 */
export async function mustReadTables(error: unknown, database: Database, schema: string): Promise<boolean> {
  if (errorCode(error) !== UNTRUSTED_SCHEMA) return false;
  return database.transaction('read the owners of the lock schema', LIMIT_MS, async (session) => {
    const owners = await readOwners(session, schema);
    if (owners?.isApplied !== true) return false;
    const isOfOwner = owners.foreignObjects.length === 0 && owners.foreignCreators.length === 0;
    return isOfOwner && owners.isSuperuser && !owners.ownerIsSuperuser;
  });
}

/** The owner wrote what is in the tables: text that is not valid there means that the lock is not usable. */
async function readTables<T>(
  database: Database,
  schema: string,
  name: string,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const found: { owners: SchemaOwners | null } = { owners: null };
  try {
    return await database.transaction(name, LIMIT_MS, async (session) => {
      found.owners = await readOwners(session, schema);
      await session.unsafe(CALLS.copySettings);
      return work(session);
    });
  } catch (error) {
    if (/^(unavailable|contention|settings|refused|local)$/.test(classify(error))) throw error;
    // A role that could only become a superuser may not read them.
    const { owners } = found;
    if (owners !== null && errorCode(error) === PERMISSION_DENIED) refuseSuperuser(owners, schema);
    const owner = owners?.owner ?? 'another role';
    throw untrusted(
      `the schema "${schema}" belongs to ${owner}, and its tables are not those of a lock`,
      `Let ${owner} check it, or use another schema, with --schema.`,
      error,
    );
  }
}

export function readStatusTables(
  database: Database,
  schema: string,
): Promise<LockStatus & { isReplica: boolean }> {
  return readTables(database, schema, 'read the status', async (session) => {
    const [clock] = await session.unsafe<{ answer: { nowMs: number; isReplica: boolean } }[]>(CALLS.clock);
    const { nowMs = Date.now(), isReplica = false } = clock?.answer ?? {};
    const [row] = await copy(session, CALLS.copyLock, schema);
    const lease = row === undefined ? null : leaseFromRow(row, nowMs);
    // A replica does not have the unlogged tables of waiters and watchers.
    const waiting = isReplica ? [] : await copy(session, CALLS.copyWaiters, schema);
    const watching = isReplica ? null : await copy(session, CALLS.copyWatchers, schema);
    const ends = await copy(session, CALLS.copyUncleanEnds, schema);
    return {
      state: lease?.releasedAtMs !== null ? 'free' : lease.expiresAtMs <= nowMs ? 'expired' : 'held',
      lease,
      waiters: waiting
        .filter((waiter) => timeMs(waiter[7]) > nowMs)
        .sort((a, b) => timeMs(a[6]) - timeMs(b[6]))
        .map(([instanceId, host, pid, dbRole, command, runKey, arrivedAt]) => ({
          instanceId: textOrEmpty(instanceId),
          host: host ?? null,
          pid: numberOrNull(pid),
          dbRole: textOrEmpty(dbRole),
          command: command ?? null,
          runKey: runKey ?? null,
          waitingMs: nowMs - timeMs(arrivedAt),
        })),
      watchers: watching?.filter(([until]) => timeMs(until) > nowMs).length ?? null,
      uncleanEnds: ends
        .map(([kind, instanceId, command, lockedAt, endedAt]) => ({
          kind: textOrEmpty(kind) as UncleanEnd['kind'],
          instanceId: textOrEmpty(instanceId),
          command: command ?? null,
          lockedAtMs: timeMs(lockedAt),
          endedAtMs: timeMs(endedAt),
        }))
        .sort((a, b) => a.endedAtMs - b.endedAtMs)
        .slice(-MOST_ENDS),
      isReplica,
    };
  });
}

export function readHistoryTable(
  database: Database,
  schema: string,
  limit: number,
  sinceMs: number | null,
): Promise<HistoryRow[]> {
  return readTables(database, schema, 'read the history', async (session) => {
    const [clock] = await session.unsafe<{ answer: { nowMs: number } }[]>(CALLS.clock);
    const earliestMs = sinceMs === null ? -Infinity : (clock?.answer.nowMs ?? Date.now()) - sinceMs;
    const rows = (await copy(session, CALLS.copyHistory, schema)).map(historyRow);
    return rows
      .filter(({ atMs }) => atMs >= earliestMs)
      .sort((a, b) => a.id - b.id)
      .slice(-limit);
  });
}

function leaseFromRow(row: CopiedRow, nowMs: number): NonNullable<LockStatus['lease']> {
  const [instanceId, token, host, pid, dbRole, command, runKey, lockedAt, expiresAt, releasedAt] = row;
  return {
    instanceId: textOrEmpty(instanceId),
    fencingToken: numberOrNull(token) ?? 0,
    host: host ?? null,
    pid: numberOrNull(pid),
    dbRole: textOrEmpty(dbRole),
    command: command ?? null,
    runKey: runKey ?? null,
    lockedAtMs: timeMs(lockedAt),
    expiresAtMs: timeMs(expiresAt),
    heldMs: nowMs - timeMs(lockedAt),
    expiresInMs: timeMs(expiresAt) - nowMs,
    releasedAtMs: releasedAt == null ? null : timeMs(releasedAt),
  };
}

function historyRow(row: CopiedRow): HistoryRow {
  const [id, at, event, instanceId, token, dbRole, address, applicationName, details, hash] = row;
  return {
    id: numberOrNull(id) ?? 0,
    atMs: timeMs(at),
    event: textOrEmpty(event),
    instanceId: instanceId ?? null,
    fencingToken: numberOrNull(token),
    dbRole: textOrEmpty(dbRole),
    clientAddress: address ?? null,
    applicationName: applicationName ?? null,
    details: JSON.parse(textOrEmpty(details)) as Record<string, unknown>,
    auditHash: hash?.replace(/^\\x/, '') ?? null,
  };
}

function copy(session: Session, statement: string, schema: string): Promise<CopiedRow[]> {
  return copyRows(session, renderSql(statement, schema));
}

function textOrEmpty(field: string | null | undefined): string {
  return field ?? '';
}

function numberOrNull(field: string | null | undefined): number | null {
  return field == null ? null : Number(field);
}

/** PostgreSQL writes `2026-01-31 12:00:00.5+00`. */
function timeMs(field: string | null | undefined): number {
  return Math.floor(Date.parse(textOrEmpty(field).replace(' ', 'T').replace(/\+00$/, 'Z')));
}
