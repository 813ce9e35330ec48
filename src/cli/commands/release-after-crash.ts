import { readFileSync } from 'node:fs';
import { releaseAfterCrash } from '../../run/crash-release.js';

/** The guard's own command: it hands over on stdin what a dead holder left to it. */
export const RELEASE_AFTER_CRASH = 'release-after-crash';

export async function releaseAfterCrashCommand(): Promise<number> {
  return (await releaseAfterCrash(readFileSync(0, 'utf8'))) ? 0 : 1;
}
