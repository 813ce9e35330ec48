import type { CleanupAnswer } from '../lock/answers.js';
import type { LockCalls } from '../lock/calls.js';
import { untilSessionsEnd } from '../lock/until-sessions-end.js';

/**
 * Clears an expired lease that was not released, and stale waiters. Open sessions of the lease are ended first, in a
 * limited time: `orphans` lists the remaining ones, and the lease is then not cleared.
 */
export function cleanUp(calls: LockCalls): Promise<CleanupAnswer> {
  return untilSessionsEnd(
    (seen) => calls.cleanup(seen),
    ({ orphans }) => orphans,
  );
}
