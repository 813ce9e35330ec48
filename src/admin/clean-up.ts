import type { CleanupAnswer } from '../lock/answers.js';
import type { LockCalls } from '../lock/calls.js';
import { untilSessionsEnd } from '../lock/until-sessions-end.js';

/**
 * Clears a lease that has run out without a release, and waiters that are gone. Sessions of the lease that are still open
 * are ended first, in a bounded time: `orphans` has what is left of them, and the lease is then not cleared.
 */
export function cleanUp(calls: LockCalls): Promise<CleanupAnswer> {
  return untilSessionsEnd(
    (seen) => calls.cleanup(seen),
    ({ orphans }) => orphans,
  );
}
