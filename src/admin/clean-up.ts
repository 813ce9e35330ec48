import { setTimeout as sleep } from 'node:timers/promises';
import type { CleanupAnswer, Orphans } from '../lock/answers.js';
import { CALL_LIMIT_MS, type LockCalls } from '../lock/calls.js';

/** How soon one looks again whether sessions that were told to end are gone. */
const ORPHAN_PAUSE_MS = 20;

/**
 * Clears a lease that has run out without a release, and waiters that are gone. Sessions of the lease that are still open
 * are ended first, in a bounded time: `orphans` has what is left of them, and the lease is then not cleared.
 */
export async function cleanUp(calls: LockCalls): Promise<CleanupAnswer> {
  const endsAtMs = performance.now() + CALL_LIMIT_MS;
  for (let orphans: Orphans | null = null; ;) {
    const answer = await calls.cleanup(orphans);
    if (answer.orphans === null || performance.now() > endsAtMs) return answer;
    orphans = answer.orphans;
    await sleep(ORPHAN_PAUSE_MS);
  }
}
