import type { ChildEnd } from '../child/supervise.js';
import type { UncleanEnd } from '../lock/answers.js';
import { findProgram, shellArgv, type Program } from './program.js';
import type { RunContext, RunOptions } from './run-context.js';
import type { UnderLease } from './under-lease.js';

/** `--recover none`: known tools do not recover either. */
export const NO_RECOVERY = 'none';

/** What was done about the unclean end of the command's last lease. */
export type Recovery =
  | { outcome: 'none' }
  /** What it left behind is mended. */
  | { outcome: 'recovered' }
  /** The command must not be started. */
  | { outcome: 'failed'; end: ChildEnd };

/** @throws {MigrateLockError} when there is no shell for the recovery (exit 126 or 127) */
export function refuseWithoutShell(options: RunOptions): void {
  if (options.recover !== null && options.recover !== NO_RECOVERY) recoveryIn(options);
}

/** Runs the recovery under the lease, if the last lease of the command had an unclean end. */
export async function recover(
  { options, signals }: RunContext,
  under: UnderLease,
  previousEnd: UncleanEnd | null,
): Promise<Recovery> {
  if (previousEnd === null || options.recover === null || options.recover === NO_RECOVERY)
    return { outcome: 'none' };
  const end = await under.run(recoveryIn(options, previousEnd));
  // It may have ended with 0 before it was done.
  if (end.gone) signals.throwIfForwarded();
  return succeeded(end) ? { outcome: 'recovered' } : { outcome: 'failed', end };
}

function recoveryIn(options: RunOptions, previousEnd?: UncleanEnd): Program {
  return findProgram('recovery', shellArgv(options.recover ?? ''), options, variablesOf(previousEnd));
}

/** What the recovery gets: the lease that had the unclean end. */
function variablesOf(previousEnd: UncleanEnd | undefined): NodeJS.ProcessEnv {
  return {
    MIGRATE_LOCK_PREVIOUS_END: previousEnd?.kind,
    MIGRATE_LOCK_PREVIOUS_INSTANCE_ID: previousEnd?.instanceId,
    MIGRATE_LOCK_PREVIOUS_COMMAND: previousEnd?.command ?? '',
  };
}

function succeeded({ exitCode, reason, gone }: ChildEnd): boolean {
  return gone && reason === 'exited' && exitCode === 0;
}
