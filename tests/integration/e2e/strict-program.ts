/** Added to the code in the documents. */
export const WHAT_IS_TAKEN_FOR_GRANTED = `
declare function migrate(options?: { signal: AbortSignal; fencingToken?: number }): Promise<void>;
declare const sql: import('postgres').Sql;
`;

/** Uses every export of the library; errors that must be reported are marked, and an unused mark is an error too. */
export const STRICT_PROGRAM = `
import {
  LockWaitTimeoutError, MigrateLockError, MigrationLock, UsageError, withMigrationLock,
  type ErrorCode, type EventListener, type EventName, type HolderDescription, type Lease, type LockStatus,
  type MigrateLockEvent, type MigrationLockOptions, type Outcome, type WorkContext,
} from 'migrate-lock';

const onEvent: EventListener = (event: MigrateLockEvent) => {
  if (event.event !== 'run.finished') return;
  const outcome: Outcome = event.outcome;
  console.log(outcome, event.exitCode.toFixed());
};
const options: MigrationLockOptions = {
  connection: 'postgres://localhost/app', schema: 'a lock', ttlMs: 60_000, waitTimeoutMs: 0, pollIntervalMs: 500,
  signal: new AbortController().signal, onEvent, command: 'migrate',
};
const lock = new MigrationLock(options);
const acquired: boolean = await lock.acquire();
const lease: Lease = await lock.wait();
const status: LockStatus = await lock.status();
const holder: HolderDescription | null = status.lease;
const cleaned: number = await lock.cleanupExpiredLocks();
const released: boolean = await lock.release();
const answer: number = await withMigrationLock(options, async (work: WorkContext) => work.fencingToken + work.expiresAt.getTime());
const names: EventName[] = ['lock.acquired', 'run.finished'];
try {
  await lock.wait();
} catch (error) {
  if (error instanceof LockWaitTimeoutError) console.log(error.message, error.exitCode.toFixed());
  if (error instanceof UsageError || error instanceof MigrateLockError) {
    const code: ErrorCode = error.code;
    console.log(code, error.hint.length);
  }
}
console.log(acquired, lease.fencingToken.toFixed(), holder?.command, cleaned, released, answer, names);

// @ts-expect-error: durations are numbers of milliseconds
new MigrationLock({ connection: '', ttlMs: '30s' });
// @ts-expect-error: nobody guesses the database
new MigrationLock({});
// @ts-expect-error: there is no such event
const unknown: EventName = 'lock.stolen';
// @ts-expect-error: the secret is nobody's business
console.log(lease.secret, unknown);
`;
