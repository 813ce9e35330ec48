import { formatDuration } from '../text/duration.js';
import { MigrateLockError } from '../errors.js';

/** We were stopped, or the answer came late: somebody else may have the lock by now. */
export function leaseUsedUp(ttlMs: number): MigrateLockError {
  return new MigrateLockError(
    `the lease of ${formatDuration(ttlMs)} was used up before the command could be started, so it was not started`,
    {
      code: 'LEASE_NOT_HELD',
      exit: 'deadline',
      hint: 'Run it again; if the database is slow to answer, with a longer --ttl.',
    },
  );
}
