/** What the database sessions of the present lease are doing. */
import type { Database } from '../db/database.js';
import { integer, list, object, optional, orNull, text, truth, type Shape } from '../db/shape.js';
import type { BlockerSummary, SessionActivity } from '../events/events.js';
import { CALLS } from '../generated/sql.js';
import { redactStatement } from '../redact/statement.js';
import { trustedSchema } from '../schema/owners.js';
import { renderSql } from '../schema/render.js';
import { progressOf } from './progress.js';

export interface LeaseActivity {
  /** Whose lease it is. */
  instanceId: string;
  /** At most 100. */
  sessions: SessionActivity[];
}

/** What PostgreSQL shows to our own role of a session. */
type Visible = Pick<SessionActivity, 'pid' | 'state' | 'stateMs' | 'openMs' | 'waitEvent' | 'statement'>;
/** What the owner of the lock shows of one. */
type Reported = Omit<SessionActivity, 'statement' | 'progress' | 'waiting'> & {
  waiting:
    (Omit<NonNullable<SessionActivity['waiting']>, 'blockers'> & { blockers: ReportedBlocker[] }) | null;
  progress: Record<string, unknown> | null;
};
type ReportedBlocker = Omit<BlockerSummary, 'state'>;

const pid = integer(0, 2 ** 31 - 1);
const moment = orNull(integer(-1e16, 1e16));
const lineOrNull = orNull(text());
const row: Shape<Record<string, unknown>> = (value) =>
  value instanceof Object ? (value as Record<string, unknown>) : {};

const blocker = object<ReportedBlocker>({
  pid,
  role: lineOrNull,
  application: lineOrNull,
  openMs: moment,
  isOwn: truth,
});
const activityShape = object<{
  reported: { instanceId: string; sessions: Reported[] } | null;
  visible: Visible[];
}>({
  reported: orNull(
    object<{ instanceId: string; sessions: Reported[] }>({
      instanceId: text(),
      sessions: list(
        object<Reported>({
          pid,
          role: lineOrNull,
          client: lineOrNull,
          state: lineOrNull,
          stateMs: moment,
          openMs: moment,
          waitEvent: lineOrNull,
          waiting: orNull(
            object<NonNullable<Reported['waiting']>>({
              lock: text(),
              mode: text(),
              object: lineOrNull,
              ms: moment,
              blockers: list(blocker),
            }),
          ),
          queued: integer(0, 1e9),
          progress: optional(orNull(row), null),
        }),
      ),
    }),
  ),
  visible: list(
    object<Visible>({
      pid,
      state: lineOrNull,
      stateMs: moment,
      openMs: moment,
      waitEvent: lineOrNull,
      statement: lineOrNull,
    }),
  ),
});

/**
 * Reads only, and waits for no lock. Fails as every call does, after `limitMs` at the latest.
 * @returns null when there is no lease, or on a replica.
 */
export async function readActivity(
  database: Database,
  schema: string,
  limitMs: number,
): Promise<LeaseActivity | null> {
  const answer = await database.call({
    name: 'read the sessions of the lease',
    statement: renderSql(CALLS.activity, schema),
    parameters: [],
    limitMs,
    precondition: trustedSchema(schema),
  });
  const { reported, visible } = activityShape(answer, 'activity()');
  if (reported === null) return null;
  const seenBy = new Map(visible.map((session) => [session.pid, session]));
  return {
    instanceId: reported.instanceId,
    sessions: reported.sessions.map((session) => merged(session, seenBy)),
  };
}

/** The owner of the lock may see less than we do, and the other way round. */
function merged(session: Reported, seenBy: ReadonlyMap<number, Visible>): SessionActivity {
  const { waiting, progress, ...reported } = session;
  const visible = seenBy.get(reported.pid);
  const shown = reported.state === null && visible !== undefined ? visible : reported;
  return {
    ...reported,
    state: shown.state,
    stateMs: atLeast0(shown.stateMs),
    openMs: atLeast0(shown.openMs),
    waitEvent: shown.waitEvent,
    statement: visible?.statement == null ? null : redactStatement(visible.statement),
    waiting: waiting && {
      ...waiting,
      ms: atLeast0(waiting.ms),
      blockers: waiting.blockers.map((blocking) => ({
        ...blocking,
        state: seenBy.get(blocking.pid)?.state ?? null,
        openMs: atLeast0(blocking.openMs ?? seenBy.get(blocking.pid)?.openMs ?? null),
      })),
    },
    progress: progress && progressOf(progress),
  };
}

/** The clock may have stepped back. */
function atLeast0(ms: number | null): number | null {
  return ms && Math.max(0, ms);
}
