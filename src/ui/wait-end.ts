import type { EventOf } from '../events/events.js';
import { durationOption, formatDuration, MAX_DURATION_MS } from '../text/duration.js';
import { heldSinceUntil, hostAndCommand } from './holder-text.js';
import { unclean } from './unclean-end.js';

type WaitEnd = EventOf<'wait.finished'> & { time: string };
type Run = NonNullable<WaitEnd['run']>;

/** The message for the end of `migrate-lock wait`; null: there is none. */
export function describeWaitEnd(
  event: WaitEnd,
): { text: string; tone: 'good' | 'bad'; hint?: string } | null {
  const { outcome, runKey, run, waitedMs } = event;
  switch (outcome) {
    case 'succeeded':
      return { text: `the work of ${runKey} was done by ${run === null ? 'a run' : by(run)}`, tone: 'good' };
    case 'failed':
      return {
        text: `the work of ${runKey} failed${run === null ? '' : ` on ${by(run)}, with exit code ${run.exitCode}`}`,
        tone: 'bad',
        hint: 'To wait for the next run of it, use --on-failure retry.',
      };
    case 'timeout':
      return {
        text: `gave up after ${formatDuration(waitedMs)}: the work of ${runKey} is not done: ${reasons(event).join('; ')}`,
        tone: 'bad',
        hint: hint(event),
      };
    case 'interrupted':
    case 'error':
      return null;
  }
}

function by({ host, instanceId, command, finishedAt }: Run): string {
  return `${hostAndCommand(host ?? instanceId, command)} at ${finishedAt}`;
}

function reasons(event: WaitEnd): string[] {
  const { holder, run, uncleanEnd, isAwaited } = event;
  const found = [
    ...(holder === null ? [] : [`the lock is ${heldSinceUntil(event)}`]),
    ...(run === null ? [] : [`its last run failed on ${by(run)}, with exit code ${run.exitCode}`]),
    ...(uncleanEnd === null
      ? []
      : [
          `its run ${hostAndCommand(uncleanEnd.instanceId, uncleanEnd.command)} had an unclean end: ${unclean(uncleanEnd.kind)}`,
        ]),
  ];
  if (found.length > 0) return found;
  return [isAwaited ? 'a run of it waits, or its lease expired without a release' : 'no run of it is known'];
}

function hint({ holder, run, uncleanEnd, isAwaited, waitedMs }: WaitEnd): string {
  if (holder === null && !isAwaited) {
    return run === null && uncleanEnd === null
      ? 'Start it with migrate-lock run --once and the same key, in the same database and --schema.'
      : 'Run the same command again, with migrate-lock run --once and the same key.';
  }
  const longerMs = Math.min(MAX_DURATION_MS, Math.max(300_000, Math.ceil((2 * waitedMs) / 60_000) * 60_000));
  return `To wait longer, use --wait-timeout, for example --wait-timeout ${durationOption(longerMs)}`;
}
