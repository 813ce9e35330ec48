import { durationOption, formatDuration, MAX_DURATION_MS } from '../text/duration.js';
import type { EventOf, MigrateLockEvent } from '../events/events.js';
import { insteadOfWaiting, longerWait } from '../text/longer-wait.js';
import { unlockLine } from '../text/unlock-line.js';

/** SQLSTATE: the schema does not exist. */
const NO_SCHEMA = '3F000';

/** Errors of a setup that does not work yet: `doctor` checks all of it. */
const OF_SETUP = new Set([
  'DATABASE_UNREACHABLE',
  'DATABASE_REFUSED',
  'PERMISSION_DENIED',
  'SCHEMA_NOT_TRUSTED',
]);

export function adviceAfterError({ code, hint }: EventOf<'error'>): string | undefined {
  if (!OF_SETUP.has(code)) return hint;
  return `${hint === undefined ? '' : `${hint} `}\`migrate-lock doctor\` checks the whole setup.`;
}

/** What you can do after a wait has timed out. */
export function adviceAfterWait(event: EventOf<'wait.timeout'>): string {
  const { handovers } = event;
  const longer = `To wait longer, use --wait-timeout, for example --wait-timeout ${longerWait(event)}`;
  const moved =
    handovers === 0
      ? `The lock did not change hands during the wait. ${longer}.`
      : `The lock changed hands ${handovers === 1 ? 'once' : `${handovers} times`} during the wait. ${longer}. If the work needs to be done only ` +
        'once for all runs, use --once with a key, for example the git commit of the release.';
  const instead = insteadOfWaiting(event);
  return instead === undefined ? moved : `${moved} ${instead}`;
}

export function adviceAfterDeadline({
  ttlMs,
  expiresInMs,
  recovery,
  sessions,
}: EventOf<'child.deadline'>): string {
  if (expiresInMs <= 0) {
    return 'It may have run at the same time as the next run: check the database. assert_held() in the migration prevents that.';
  }
  if (sessions?.some(({ waiting }) => waiting !== null) === true)
    return `End what it waits for before the next run: with a larger --ttl it only waits longer. ${nextRun(recovery)}`;
  if (ttlMs >= MAX_DURATION_MS) return `That is the longest lease: split the migration. ${nextRun(recovery)}`;
  const longer = durationOption(Math.min(MAX_DURATION_MS, Math.ceil((2 * ttlMs) / 1_000) * 1_000));
  return `The lease lasts ${formatDuration(ttlMs)}. Try a larger one, for example --ttl ${longer}. ${nextRun(recovery)}`;
}

/** What the next run of a command does that was ended at its deadline. */
function nextRun(recovery: string | null): string {
  if (recovery === 'command') return 'The next run of this command runs its --recover first.';
  if (recovery !== null)
    return `The next run of this command first releases the lock of ${recovery} itself, if it is taken.`;
  return 'If the migration tool keeps a lock of its own, the next run may find it taken: see --recover.';
}

export function adviceAfterFailedRelease({
  code,
  expiresAt,
  instanceId,
}: MigrateLockEvent & EventOf<'lock.release_failed'>): string {
  if (code === 'LEASE_EXPIRED')
    return 'Other runs can start: `migrate-lock history` shows what has happened since.';
  if (code === NO_SCHEMA) return 'The lease went with the lock schema: other runs can start at once.';
  const ends = `The lease expires at ${expiresAt}; until then no other run can start.`;
  return code === 'ORPHANS_LEFT' ? `${ends} To end it earlier: \`${unlockLine(instanceId)}\`.` : ends;
}
