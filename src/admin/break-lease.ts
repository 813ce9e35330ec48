import { setTimeout as sleep } from 'node:timers/promises';
import { classify } from '../db/classify.js';
import type { Orphans, UnlockAnswer } from '../lock/answers.js';
import { CALL_LIMIT_MS, type LockCalls } from '../lock/calls.js';

export interface BreakOptions {
  /** Also while the lease runs. */
  force: boolean;
  /** Sessions of the lease that do not end in time do not keep it. */
  leaveSessions: boolean;
}

/** How soon one looks again whether sessions that were told to end are gone. */
const ORPHAN_PAUSE_MS = 20;

/**
 * Ends the lease of the holder that is named, after its sessions. These have a bounded time to end: the answer `orphans`
 * tells what is left of them, and the lease is then kept.
 */
export async function breakLease(
  calls: LockCalls,
  instanceId: string,
  { force, leaveSessions }: BreakOptions,
): Promise<UnlockAnswer> {
  const endsAtMs = performance.now() + CALL_LIMIT_MS;
  for (let orphans: Orphans | null = null; ;) {
    const isLast = performance.now() > endsAtMs;
    try {
      const answer = await calls.unlock(instanceId, {
        force,
        leaveSessions: leaveSessions && isLast,
        orphans,
      });
      if (answer.outcome !== 'orphans' || isLast) return answer;
      orphans = answer;
    } catch (error) {
      // Somebody is just changing the row.
      if (classify(error) !== 'contention' || isLast) throw error;
    }
    await sleep(ORPHAN_PAUSE_MS);
  }
}
