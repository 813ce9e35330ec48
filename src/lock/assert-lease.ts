import { errorCode } from '../db/classify.js';
import { explain } from '../db/explain.js';
import { MigrateLockError } from '../errors.js';
import type { LockCalls } from './calls.js';
import type { Lease } from './lease.js';

/** The SQLSTATE of assert_held(). */
const NOT_HELD = '55000';

/** @throws {MigrateLockError} LEASE_NOT_HELD when the lease is not held any more, or the error of the database, explained. */
export async function assertLease(
  calls: LockCalls,
  { instanceId, fencingToken }: Pick<Lease, 'instanceId' | 'fencingToken'>,
): Promise<void> {
  try {
    await calls.assertHeld(instanceId, fencingToken);
  } catch (error) {
    if (errorCode(error) !== NOT_HELD) throw explain(error, calls.database.description, calls.schema);
    throw new MigrateLockError(`The lease ${instanceId} (token ${fencingToken}) is not held any more.`, {
      code: 'LEASE_NOT_HELD',
      exit: 'lost',
      hint: 'It has expired, or another instance holds the lock: stop here, and run the migration again.',
      cause: error,
    });
  }
}
