import { guardAsFirst, guardAsSecond } from '../child/own-guard.js';
import { releaseAfterCrash } from './crash-release.js';

export interface RunGuardOptions {
  env: NodeJS.ProcessEnv;
  /** This program as a guard. */
  program: readonly string[];
  /** Given to the second guard only: the process id of the first one. */
  first: string | undefined;
}

/** This program as a guard, where there is no shell. Resolves when it is not needed any more. */
export function runGuard({ env, program, first }: RunGuardOptions): Promise<void> {
  const mark = env.MIGRATE_LOCK_GUARD_MARK;
  if (mark === undefined || mark === '') throw new Error('a guard is started by its holder only');
  if (first !== undefined) return guardAsSecond(mark, Number(first));
  return guardAsFirst({ mark, second: program, release: releaseAfterCrash });
}
