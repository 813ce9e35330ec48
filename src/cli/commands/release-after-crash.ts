import { readFileSync } from 'node:fs';
import type { AddCommand } from '../process-context.js';
import { releaseAfterCrash } from '../../run/crash-release.js';

/** The hidden command that the guard runs, with the data of the killed holder on stdin. */
export const RELEASE_AFTER_CRASH = 'release-after-crash';

export const addReleaseAfterCrash: AddCommand = (program, _, onExitCode) => {
  program
    .command(RELEASE_AFTER_CRASH, { hidden: true })
    .action(async () => onExitCode(await releaseAfterCrashCommand()));
};

async function releaseAfterCrashCommand(): Promise<number> {
  return (await releaseAfterCrash(readFileSync(0, 'utf8'))) ? 0 : 1;
}
