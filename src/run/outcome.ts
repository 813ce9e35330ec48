import type { ChildEnd } from '../child/supervise.js';
import { EXIT_CODES } from '../exit-codes.js';
import type { Outcome } from '../events/events.js';
import type { EndDetails } from '../lock/calls.js';
import type { ReleaseOutcome } from '../lock/release.js';
import type { Program } from './program.js';
import { signalExitCode } from './signals.js';

export interface RunResult {
  outcome: Outcome;
  exitCode: number;
}

/** The outcome of a run whose child was started: from the child's end and the release of the lease. */
export function decideOutcome(
  child: ChildEnd,
  lease: ReleaseOutcome,
  forwarded: ReadonlySet<NodeJS.Signals>,
): RunResult {
  if (lease === 'lost') return { outcome: 'lost', exitCode: EXIT_CODES.lost.code };
  if (child.reason === 'deadline' || (child.exitCode === null && child.signal === null)) {
    return { outcome: 'deadline', exitCode: EXIT_CODES.deadline.code };
  }
  if (child.signal !== null) {
    const outcome = forwarded.has(child.signal) ? 'interrupted' : 'completed';
    return { outcome, exitCode: signalExitCode(child.signal) };
  }
  return { outcome: 'completed', exitCode: child.exitCode ?? EXIT_CODES.internal.code };
}

/**
 * What kind of end the command had; null: it was not started. A tool that is ended may leave a lock of its own, or half of its work.
 * `isUnclean`: a database session of it had to be cancelled or ended, or an earlier try had an unclean end.
 */
export function kindOfEnd(
  child: ChildEnd,
  program: Program['kind'],
  forwarded: ReadonlySet<NodeJS.Signals>,
  isUnclean: boolean,
): NonNullable<EndDetails['kind']> | null {
  if (program !== 'command') return isUnclean ? 'leftovers' : null;
  if (child.reason === 'deadline') return 'deadline';
  const isSignalled = child.exitCode === null || child.exitCode >= 128 || forwarded.size > 0;
  if (isSignalled || child.reason === 'lost') return 'signalled';
  return child.leftovers > 0 || isUnclean ? 'leftovers' : 'clean';
}
