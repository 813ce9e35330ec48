import type { ChildEnd } from '../child/supervise.js';
import { EXIT_CODES } from '../exit-codes.js';
import type { RunDescription } from '../lock/answers.js';
import type { WorkResult } from '../lock/calls.js';
import { formatMoment } from '../text/moment.js';
import { decideOutcome, type RunResult } from './outcome.js';
import type { Program } from './program.js';
import type { RunContext } from './run-context.js';

/**
 * The result of the work. A child that exited with 0 after a forwarded signal, or with leftover processes, may not have
 * finished: that is neither a success nor a failure, and the next run tries again.
 */
export function resultOfWork(
  end: ChildEnd,
  program: Program['kind'],
  forwarded: ReadonlySet<NodeJS.Signals>,
): WorkResult | undefined {
  // A check that ends the run found the work done. A recovery is not the work.
  if (program === 'recovery' || (program === 'check' && end.exitCode !== 0)) return undefined;
  if (forwarded.size > 0 || end.reason === 'lost') return undefined;
  const { exitCode } = decideOutcome(end, 'released', forwarded);
  const durationMs = Math.round(end.durationMs);
  if (exitCode !== 0) return { succeeded: false, exitCode, durationMs };
  return end.leftovers === 0 ? { succeeded: true, exitCode, durationMs } : undefined;
}

/**
 * With a run key, exit 0 means that the success is stored, which only the release does: others wait for it. Otherwise the run
 * has to be tried again, so it exits with a code of its own.
 */
export function exitAsStored(
  result: RunResult,
  isReleased: boolean,
  work: WorkResult | null,
  { options: { once }, events }: Pick<RunContext, 'options' | 'events'>,
): RunResult {
  const hasSucceeded = work?.succeeded === true;
  if (once === null || (isReleased && hasSucceeded)) return result;
  if (hasSucceeded || result.exitCode === 0) events.emit({ event: 'run.not_stored', runKey: once.runKey });
  return result.exitCode === 0 ? { ...result, exitCode: EXIT_CODES.notStored.code } : result;
}

/** Reports that nothing is run: another run has done the work, or has just failed. */
export function reportSkipped(run: RunDescription, { options, events }: RunContext): RunResult {
  const { once } = options;
  const { succeeded, instanceId, host, finishedAtMs, durationMs } = run;
  const exitCode = exitCodeOf(run);
  events.emit({
    event: 'run.skipped',
    reason: 'once',
    runKey: once?.runKey ?? null,
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

/** The value was stored by another client, which may write anything: a failure must never exit with 0. */
export function exitCodeOf({ succeeded, exitCode }: RunDescription): number {
  if (succeeded) return 0;
  return exitCode >= 1 && exitCode <= 255 ? exitCode : EXIT_CODES.internal.code;
}
