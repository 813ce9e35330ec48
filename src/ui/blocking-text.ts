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
  { role, sessionPid }: EventOf<'database.blocking'>,
  reason: EventOf<'database.blocking'>['reason'],
): string {
  switch (reason) {
    case 'denied':
      return `To end it, our role or the owner of the lock schema needs the rights of ${role ?? 'its role'}: GRANT ${role ?? 'that role'} TO ..., or GRANT pg_signal_backend TO ...`;
    case 'hidden':
      return 'Our role cannot see its statement, and a form with CONCURRENTLY must not be cut off: GRANT pg_read_all_stats TO our role.';
    case 'concurrently':
    case null:
      return `A form with CONCURRENTLY that is cut off can leave an INVALID index, so it is not cancelled. To end it all the same: SELECT pg_cancel_backend(${sessionPid}).`;
  }
}
