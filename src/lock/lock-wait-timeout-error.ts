import { MigrateLockError } from '../errors.js';
import { insteadOfWaiting, longerWait } from '../text/longer-wait.js';
import { formatMoment } from '../text/moment.js';
import type { HolderDescription } from './lease.js';

/** The lease was not acquired within the wait timeout. Exit code 75. */
export class LockWaitTimeoutError extends MigrateLockError {
  override readonly name = 'LockWaitTimeoutError';
  /** The holder at the last poll; null when it was unknown. */
  readonly holder: HolderDescription | null;
  /** How long it waited. */
  readonly waitedMs: number;
  /** The number of waiters at the last poll, this one included. */
  readonly queueLength: number;
  /** How often the lock was acquired by another instance during the wait. */
  readonly handovers: number;

  constructor(holder: HolderDescription | null, waitedMs: number, queueLength: number, handovers = 0) {
    const ended = {
      waitedMs,
      expiresInMs: holder?.expiresInMs ?? null,
      holder: holder?.instanceId ?? null,
    };
    const moved = handovers === 0 ? '' : `The lock changed hands ${handovers} times during the wait. `;
    const instead = insteadOfWaiting(ended) ?? 'Or find out what the holder is doing: `migrate-lock status`.';
    super(`The lock was not acquired within ${(waitedMs / 1000).toFixed(1)}s: ${sentence(holder)}.`, {
      code: 'LOCK_WAIT_TIMEOUT',
      exit: 'conflict',
      hint: `${moved}Wait longer with --wait-timeout (waitTimeoutMs), for example ${longerWait(ended)}. ${instead}`,
    });
    this.holder = holder;
    this.waitedMs = waitedMs;
    this.queueLength = queueLength;
    this.handovers = handovers;
  }
}

function sentence(holder: HolderDescription | null): string {
  if (holder === null) return 'another instance was just acquiring or releasing it';
  const where = holder.host === null ? '' : ` on ${holder.host} (pid ${holder.pid ?? 'unknown'})`;
  const what = holder.command === null ? '' : `, running ${holder.command}`;
  const since = formatMoment(holder.lockedAtMs);
  const until = formatMoment(holder.expiresAtMs);
  return `held by ${holder.instanceId}${where}${what}, since ${since}, until ${until} at the latest`;
}
