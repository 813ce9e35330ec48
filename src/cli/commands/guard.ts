import { runGuard } from '../../run/run-guard.js';
import type { AddCommand } from '../process-context.js';

/** The hidden command that a holder starts where there is no shell. The guard starts it once more, as a second one. */
export const GUARD = 'guard';

export const addGuard: AddCommand = (program, { env, program: start }, onExitCode) => {
  program
    .command(GUARD, { hidden: true })
    .argument('[first]')
    .action(async (first: string | undefined) => {
      await runGuard({ env, program: [...start, GUARD], first });
      onExitCode(0);
    });
};
