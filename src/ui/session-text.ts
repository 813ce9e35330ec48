import { formatDuration } from '../text/duration.js';
import type { BlockerSummary, SessionActivity } from '../events/events.js';
import { shortened } from './holder-text.js';

/**
 * The one sentence about the sessions of a command: `database session 4711 (app) has waited 21s for public.orders, held by pid 812
 * (web, role app, idle in transaction for 6m)`. undefined: nothing is known that explains anything.
 */
export function aboutSessions(sessions: readonly SessionActivity[] = []): string | undefined {
  const waiting = longest(sessions, ({ waiting }) => waiting !== null);
  if (waiting !== undefined) return `database session ${sessionName(waiting)} ${aboutWait(waiting)}`;
  const progressing = sessions.find(({ progress }) => progress !== null);
  if (progressing !== undefined) return `${aboutProgress(progressing)}${andQueue(progressing)}`;
  const busy = longest(sessions, ({ state }) => state !== null && state !== 'idle');
  if (busy === undefined) return undefined;
  const statement = busy.statement === null ? '' : `: ${shortened(busy.statement)}`;
  return `database session ${sessionName(busy)} has been ${busy.state ?? ''} for ${formatDuration(busy.stateMs ?? 0)}${statement}${andQueue(busy)}`;
}

/** `has waited 21s for public.orders, held by pid 812 (web, role app, idle in transaction for 6m); 3 sessions wait behind it` */
export function aboutWait(session: SessionActivity): string {
  const { waiting } = session;
  if (waiting === null) return '';
  const { lock, object, ms, blockers } = waiting;
  const verb = ms === null ? 'waits' : `has waited ${formatDuration(ms)}`;
  const [first, ...others] = blockers;
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  const holders = first === undefined ? '' : `, held by ${blockerName(first)}${more}`;
  return `${verb} for ${lockName(lock, object)}${holders}${andQueue(session)}`;
}

/** `3 sessions wait behind it` */
export function queueBehind({ queued }: SessionActivity): string {
  return `${queued} ${queued === 1 ? 'session waits' : 'sessions wait'} behind it`;
}

function andQueue(session: SessionActivity): string {
  return session.queued === 0 ? '' : `; ${queueBehind(session)}`;
}

/** `CREATE INDEX CONCURRENTLY on public.orders: 43 % (building index: scanning table)` */
export function aboutProgress({ progress }: SessionActivity): string {
  if (progress === null) return '';
  const { command, object, phase, done } = progress;
  const on = object === null ? '' : ` on ${object}`;
  const share = done === null ? '' : `${Math.floor(done * 100)} %`;
  const what = share === '' ? phase : phase === null ? share : `${share} (${phase})`;
  return `${command}${on}${what === null ? '' : `: ${what}`}`;
}

/** `pid 812 (web, role app, idle in transaction for 6m)` */
function blockerName({ pid, role, application, state, openMs, isOwn }: BlockerSummary): string {
  if (pid === 0) return 'a prepared transaction';
  const names = [...(application ? [application] : []), ...(role === null ? [] : [`role ${role}`])];
  const open = openMs === null ? undefined : formatDuration(openMs);
  const doing = state ?? (open === undefined ? undefined : 'transaction open');
  const since = doing === undefined ? [] : [open === undefined ? doing : `${doing} for ${open}`];
  return `pid ${pid} (${[...(isOwn ? ['of the same command'] : names), ...since].join(', ') || 'hidden'})`;
}

function lockName(lock: string, object: string | null): string {
  if (object !== null) return lock === 'relation' ? object : `${lockKind(lock)} of ${object}`;
  return lockKind(lock);
}

function lockKind(lock: string): string {
  switch (lock) {
    case 'relation':
      return 'a table of another database';
    case 'transactionid':
    case 'tuple':
      return 'a row';
    case 'virtualxid':
      return 'the end of a transaction';
    case 'advisory':
      return 'an advisory lock';
    default:
      return `a lock of kind ${lock}`;
  }
}

function sessionName({ pid, role }: SessionActivity): string {
  return `${pid}${role === null ? '' : ` (${role})`}`;
}

function longest(
  sessions: readonly SessionActivity[],
  counts: (session: SessionActivity) => boolean,
): SessionActivity | undefined {
  const lasted = (session: SessionActivity): number => session.waiting?.ms ?? session.stateMs ?? 0;
  return sessions
    .filter(counts)
    .reduce<SessionActivity | undefined>(
      (found, session) => (found === undefined || lasted(session) > lasted(found) ? session : found),
      undefined,
    );
}
