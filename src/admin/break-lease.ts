import { setTimeout as sleep } from 'node:timers/promises';
import { classify } from '../db/classify.js';
import type { UnlockAnswer } from '../lock/answers.js';
import { CALL_LIMIT_MS, type LockCalls } from '../lock/calls.js';
import { untilSessionsEnd } from '../lock/until-sessions-end.js';

export interface BreakOptions {
  /** Ends the lease also while it runs. */
  force: boolean;
  /** Sessions of the lease that do not end in time do not keep it. */
  leaveSessions: boolean;
}

/** The pause before a call is repeated because another call was changing the lock's row. */
const CONTENTION_PAUSE_MS = 20;

/**
 * Ends the named holder's lease, after its sessions. The sessions have a limited time to end: the answer `orphans`
 * lists the remaining ones, and the lease is then kept.
 */
export function breakLease(
  calls: LockCalls,
  instanceId: string,
  { force, leaveSessions }: BreakOptions,
): Promise<UnlockAnswer> {
  const endsAtMs = performance.now() + CALL_LIMIT_MS;
  return untilSessionsEnd<UnlockAnswer>(
    async (orphans) => {
      for (;;) {
        const isLast = performance.now() > endsAtMs;
        try {
          return await calls.unlock(instanceId, { force, leaveSessions: leaveSessions && isLast, orphans });
        } catch (error) {
          if (classify(error) !== 'contention' || isLast) throw error;
        }
        await sleep(CONTENTION_PAUSE_MS);
      }
    },
    (answer) => (answer.outcome === 'orphans' ? answer : null),
  );
}
