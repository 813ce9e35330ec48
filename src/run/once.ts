import type { ChildEnd } from '../child/supervise.js';
import { EXIT_CODES } from '../exit-codes.js';
import type { RunDescription } from '../lock/answers.js';
import type { WorkResult } from '../lock/calls.js';
import { formatMoment } from '../text/moment.js';
import { decideOutcome, type RunResult } from './outcome.js';
import type { RunContext } from './run-context.js';

/**
 * Whether the work is done. A child that ended with 0 after a signal that we forwarded, or leaving processes that had to
 * be ended, may have stopped half-way: that is neither a success nor a failure, and the next one tries.
 */
export function resultOfWork(end: ChildEnd, forwarded: ReadonlySet<NodeJS.Signals>): WorkResult | undefined {
  if (forwarded.size > 0 || end.reason === 'lost') return undefined;
  const { exitCode } = decideOutcome(end, 'released', forwarded);
  const durationMs = Math.round(end.durationMs);
  if (exitCode !== 0) return { succeeded: false, exitCode, durationMs };
  return end.leftovers === 0 ? { succeeded: true, exitCode, durationMs } : undefined;
}

/** Nothing is run: another run has done the work, or has just failed at it. */
export function reportSkipped(run: RunDescription, { options, events }: RunContext): RunResult {
  const { once } = options;
  const { succeeded, instanceId, host, finishedAtMs, durationMs } = run;
  const exitCode = exitCodeOf(run);
  events.emit({
    event: 'run.skipped',
    runKey: once?.runKey ?? '',
    succeeded,
    exitCode,
    by: instanceId,
    byHost: host,
    byCommand: run.command,
    finishedAt: formatMoment(finishedAtMs),
    ranMs: Math.max(0, durationMs),
  });
  return { outcome: 'skipped', exitCode };
}

/** As it was stored by another client, who may write what it likes: a failure is never to come out as a success. */
function exitCodeOf({ succeeded, exitCode }: RunDescription): number {
  if (succeeded) return 0;
  return exitCode >= 1 && exitCode <= 255 ? exitCode : EXIT_CODES.internal.code;
}
