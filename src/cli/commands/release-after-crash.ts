import { readFileSync } from 'node:fs';
import { releaseAfterCrash } from '../../run/crash-release.js';

/** The hidden command that the guard runs, with the data of the killed holder on stdin. */
export const RELEASE_AFTER_CRASH = 'release-after-crash';

export async function releaseAfterCrashCommand(): Promise<number> {
  return (await releaseAfterCrash(readFileSync(0, 'utf8'))) ? 0 : 1;
}
