import type { EventOf } from '../events/events.js';
import { formatDuration } from '../text/duration.js';
import { shortened } from './holder-text.js';

/** `12 sessions have waited up to 3s for public.orders behind session 4711 of the command (ALTER TABLE ...): its statement was cancelled` */
export function aboutBlocking(event: EventOf<'database.blocking'>): { text: string; hint?: string } {
  const { sessionPid, statement, object, waiting, waitedMs, action, reason } = event;
  const who = waiting === 1 ? '1 session has waited' : `${waiting} sessions have waited up to`;
  const what = object === null ? '' : ` for ${object}`;
  const session = `session ${sessionPid} of the command${statement === null ? '' : ` (${shortened(statement)})`}`;
  const text = `${who} ${formatDuration(waitedMs)}${what} behind ${session}`;
  switch (action) {
    case 'cancelled':
      return { text: `${text}: its statement was cancelled` };
    case 'terminated':
      return { text: `${text}: the session was ended` };
    case 'reported':
      return { text: `${text}: nothing was done about it`, hint: hintFor(event, reason) };
  }
}

function hintFor(
  { role, state, sessionPid }: EventOf<'database.blocking'>,
  reason: EventOf<'database.blocking'>['reason'],
): string {
  switch (reason) {
    case 'denied':
      return `To end it, our role or the owner of the lock schema needs the rights of ${role ?? 'its role'}: GRANT ${role ?? 'that role'} TO ..., or GRANT pg_signal_backend TO ...`;
    case 'hidden':
      return state === null
        ? 'Our role cannot see its statement, and a form with CONCURRENTLY must not be cut off: GRANT pg_read_all_stats TO our role.'
        : `The server does not show its whole statement (track_activities, track_activity_query_size), and a form with CONCURRENTLY must not be cut off. To end it all the same: SELECT pg_cancel_backend(${sessionPid}).`;
    case 'pooler':
      return 'The session is older than the lease, so a pooler lends it, and it may serve another client by now: let the command connect to the server itself.';
    case 'inner-run':
      return 'It belongs to a run on another lock inside the command: give --max-block to that run.';
    case 'concurrently':
    case null:
      return `A form with CONCURRENTLY that is cut off can leave an INVALID index, so it is not cancelled. To end it all the same: SELECT pg_cancel_backend(${sessionPid}).`;
  }
}
