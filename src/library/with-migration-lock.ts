import { childTimes } from '../lock/lease-times.js';
import { MigrationLock } from './migration-lock.js';
import type { MigrationLockOptions } from './migration-lock-options.js';
import { applicationName } from '../lock/lease.js';

/** The arguments of the work under the lease. */
export interface WorkContext {
  /**
   * Aborted when the work must end, two margins before the lease ends (by default 28 s after it was acquired), and when
   * `options.signal` is. It is a request: a function cannot be killed. Work that continues after the lease's end may run at
   * the same time as another holder's. `migrate-lock run` gives a stronger guarantee: it ends its child in time.
   */
  signal: AbortSignal;
  /** Names the lease in the table, in events, and in the names of its database sessions. */
  instanceId: string;
  /** Grows with every acquisition: a data store can use it to refuse writes of an older holder. */
  fencingToken: number;
  /** The end of the lease, on the database's clock. */
  expiresAt: Date;
  /** Use it as `application_name` of the sessions that do the work, so that they can be found in pg_stat_activity. */
  applicationName: string;
}

/**
 * Waits for the lease, does the work, and releases the lease, whether the work succeeded or not.
 * @returns the work's result.
 * @throws the work's error; or, before it was started, `LockWaitTimeoutError` and the errors of `MigrationLock.wait()`.
 */
export async function withMigrationLock<T>(
  options: MigrationLockOptions,
  work: (context: WorkContext) => Promise<T>,
): Promise<T> {
  const lock = new MigrationLock(options);
  const lease = await lock.wait();
  const deadline = new AbortController();
  const { killBeforeEndMs } = childTimes(options.ttlMs ?? 30_000, 0);
  const timer = setTimeout(
    () => deadline.abort(new DOMException('the lease is about to end', 'TimeoutError')),
    Math.min(2 ** 31 - 1, Math.max(0, lease.endsAtMs - killBeforeEndMs - performance.now())),
  );
  try {
    const { instanceId, fencingToken, expiresAt } = lease;
    return await work({
      signal:
        options.signal === undefined ? deadline.signal : AbortSignal.any([deadline.signal, options.signal]),
      instanceId,
      fencingToken,
      expiresAt,
      applicationName: applicationName(instanceId),
    });
  } finally {
    clearTimeout(timer);
    await lock.release();
  }
}
