import type { HolderSummary } from '../events/events.js';
import { formatDuration } from '../text/duration.js';
import { formatMoment } from '../text/moment.js';
import { shorten } from '../text/shorten.js';

/** Enough to recognize a holder's command. */
const MAX_COMMAND_LENGTH = 80;
/** The longest host name; another client may have stored a longer one. */
const MAX_NAME_LENGTH = 64;

/** `held by web-7f9 (knex migrate:latest) for 18s, its lease ends in 11s` */
export function holding(holder: HolderSummary): string {
  const lease = holder.expiresInMs;
  const parts = [
    `${holderName(holder)}${holder.heldMs === null ? '' : ` for ${formatDuration(holder.heldMs)}`}`,
    ...(lease === null
      ? []
      : [lease > 0 ? `its lease ends in ${formatDuration(lease)}` : 'its lease has expired']),
  ];
  return parts.join(', ');
}

/** As holding(), but with timestamps, for a line that is read later. */
export function heldSinceUntil(event: HolderSummary & { time: string }): string {
  const at = (offsetMs: number): string => formatMoment(Date.parse(event.time) + offsetMs);
  const since = event.heldMs === null ? '' : ` since ${at(-event.heldMs)}`;
  const until = event.expiresInMs === null ? '' : `, until ${at(event.expiresInMs)} at the latest`;
  return `${holderName(event)}${since}${until}`;
}

export function holderName({ holder, holderHost, holderCommand }: HolderSummary, length?: number): string {
  if (holder === null) return 'another instance is just acquiring or releasing it';
  const command = holderCommand === null ? '' : ` (${shortened(holderCommand, length)})`;
  return `held by ${shorten(holderHost ?? holder, MAX_NAME_LENGTH, '…')}${command}`;
}

export function shortened(command: string, length = MAX_COMMAND_LENGTH): string {
  return shorten(command, length, '…');
}

/** `web-7f9 (knex migrate:latest)` */
export function hostAndCommand(host: string, command: string | null): string {
  return `${shorten(host, MAX_NAME_LENGTH, '…')}${command === null ? '' : ` (${shortened(command)})`}`;
}
