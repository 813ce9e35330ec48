import { classify, isAbsent } from '../db/classify.js';
import { explain } from '../db/explain.js';
import { endSummary } from '../lock/end-summary.js';
import type { Database } from '../db/database.js';
import { CALL_LIMIT_MS, LockCalls } from '../lock/calls.js';
import { mustReadTables, readStatusTables } from '../admin/read-tables.js';
import { formatMoment } from '../text/moment.js';
import type { StatusReport } from '../ui/status-text.js';
import { readActivity } from '../lock/activity.js';

type Status = Awaited<ReturnType<LockCalls['status']>>;

const NO_SESSIONS = { sessions: null, sessionsUnknown: null };
const NEVER_USED: Status = {
  state: 'free',
  lease: null,
  waiters: [],
  watchers: 0,
  uncleanEnds: [],
  isReplica: false,
};

/** What is known of the lock now. Reads only. */
export async function readStatusReport(
  database: Database,
  databaseName: string,
  schema: string,
): Promise<StatusReport> {
  const { state, lease, waiters, watchers, uncleanEnds, isReplica } = await readStatus(database, schema);
  return {
    database: databaseName,
    schema,
    state,
    lease: lease === null ? null : withMoments(lease),
    waiters,
    watchers,
    ...(state === 'free' || isReplica ? NO_SESSIONS : await readSessions(database, schema)),
    uncleanEnds: uncleanEnds.map(endSummary),
    isReplica,
  };
}

/** What could not be read of the sessions is said: the rest of the status does not depend on it. */
async function readSessions(
  database: Database,
  schema: string,
): Promise<Pick<StatusReport, 'sessions' | 'sessionsUnknown'>> {
  try {
    const activity = await readActivity(database, schema, CALL_LIMIT_MS);
    return { sessions: activity?.sessions ?? null, sessionsUnknown: null };
  } catch (error) {
    return {
      sessions: null,
      sessionsUnknown:
        classify(error) === 'denied'
          ? 'the role may not call activity() of the lock schema'
          : explain(error, database.description, schema).message,
    };
  }
}

/** Without a lock schema the lock is free; the schema is not created. */
async function readStatus(database: Database, schema: string): Promise<Status> {
  try {
    return await new LockCalls(database, schema).status();
  } catch (error) {
    if (await mustReadTables(error, database, schema)) return readStatusTables(database, schema);
    if (isAbsent(error)) return NEVER_USED;
    throw error;
  }
}

function withMoments(lease: NonNullable<Status['lease']>) {
  const { lockedAtMs, expiresAtMs, releasedAtMs } = lease;
  return {
    ...lease,
    lockedAt: formatMoment(lockedAtMs),
    expiresAt: formatMoment(expiresAtMs),
    releasedAt: releasedAtMs === null ? null : formatMoment(releasedAtMs),
  };
}
