import { durationOption, formatDuration, MAX_DURATION_MS } from '../text/duration.js';
import type { EventOf, MigrateLockEvent } from '../events/events.js';
import { insteadOfWaiting, longerWait } from '../text/longer-wait.js';
import { unlockLine } from '../text/unlock-line.js';

/** What a person can do after the end of a wait, as it fits what was seen last. */
export function adviceAfterWait(event: EventOf<'wait.timeout'>): string {
  const { handovers } = event;
  const longer = `To wait longer, use --wait-timeout, for example --wait-timeout ${longerWait(event)}`;
  const moved =
    handovers === 0
      ? `The lock did not move meanwhile. ${longer}.`
      : `The lock changed hands ${handovers === 1 ? 'once' : `${handovers} times`} meanwhile. ${longer}; if the work needs to be done only ` +
        'once for all of them, use --once with a key, for example the git commit of the release.';
  const instead = insteadOfWaiting(event);
  return instead === undefined ? moved : `${moved} ${instead}`;
}

export function adviceAfterDeadline({ ttlMs, expiresInMs }: EventOf<'child.deadline'>): string {
  if (expiresInMs <= 0) {
    return 'It may have run beside the next one: look at the database. assert_held() in the migration prevents that.';
  }
  if (ttlMs >= MAX_DURATION_MS) return 'That is the longest lease: divide the work.';
  const longer = durationOption(Math.min(MAX_DURATION_MS, 2 * ttlMs));
  return `The lease lasts ${formatDuration(ttlMs)}. Try a larger one, for example --ttl ${longer}`;
}

export function adviceAfterFailedRelease({
  code,
  expiresAt,
  instanceId,
}: MigrateLockEvent & EventOf<'lock.release_failed'>): string {
  if (code === 'LEASE_EXPIRED')
    return 'Others can run: `migrate-lock history` tells what has happened since.';
  const ends = `The lease ends by itself at ${expiresAt}; until then nobody else can run.`;
  return code === 'ORPHANS_LEFT' ? `${ends} Sooner: \`${unlockLine(instanceId)}\`.` : ends;
}
