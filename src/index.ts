/** The library's one public entry. */
export { MigrateLockError, UsageError, type ErrorCode } from './errors.js';
export type { EventListener, EventName, MigrateLockEvent, Outcome } from './events/events.js';
export { LockWaitTimeoutError } from './lock/lock-wait-timeout-error.js';
export { MigrationLock } from './library/migration-lock.js';
export type { MigrationLockOptions } from './library/migration-lock-options.js';
export type { LockStatus } from './lock/answers.js';
export type { HolderDescription, Lease } from './lock/lease.js';
export { withMigrationLock, type WorkContext } from './library/with-migration-lock.js';
