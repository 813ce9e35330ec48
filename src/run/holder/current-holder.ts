import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../db/backoff.js';
import { classify, errorCode } from '../../db/classify.js';
import type { EventStream } from '../../events/event-stream.js';
import { explain } from '../../db/explain.js';
import { attemptLimitMs } from '../../lock/attempt-limit.js';
import type { LockCalls } from '../../lock/calls.js';
import type { HolderDescription } from '../../lock/lease.js';

/**
 * The holder of the lock, for a run that may be inside the holder's command: without it, the run would wait for itself. It
 * retries while the database is unavailable, until the wait timeout.
 * @returns null: there is none, or the database fails otherwise, which the wait then reports.
 * @throws the signal's reason when it was aborted; {MigrateLockError} when the database has stayed unavailable.
 */
export async function currentHolder(
  calls: LockCalls,
  { emit }: Pick<EventStream, 'emit'>,
  waitTimeoutMs: number,
  signal: AbortSignal,
): Promise<HolderDescription | null> {
  const giveUpAtMs = performance.now() + waitTimeoutMs;
  for (let attempts = 1; ; attempts++) {
    try {
      const leftMs = giveUpAtMs - performance.now();
      const limits = { timedOut: attempts - 1, waitTimeoutMs, leftMs };
      const { state, lease } = await calls.status(attemptLimitMs(calls.database, limits));
      return state === 'held' ? lease : null;
    } catch (error) {
      signal.throwIfAborted();
      const kind = classify(error);
      if (kind !== 'unavailable' && kind !== 'contention') return null;
      const pauseMs = backoffMs(attempts);
      if (performance.now() + pauseMs >= giveUpAtMs) {
        // The wait would be tried for as long once more.
        if (kind === 'unavailable') throw explain(error, calls.database.description, calls.schema);
        return null;
      }
      if (attempts === 1) {
        const message = error instanceof Error ? error.message : String(error);
        emit({ event: 'database.unavailable', code: errorCode(error), message, attempts });
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
