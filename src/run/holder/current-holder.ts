import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../../db/backoff.js';
import { classify, errorCode } from '../../db/classify.js';
import type { EventStream } from '../../events/event-stream.js';
import { explain } from '../../db/explain.js';
import { CALL_LIMIT_MS, type LockCalls } from '../../lock/calls.js';
import type { HolderDescription } from '../../lock/lease.js';

/** The last attempt may take this long. */
const LAST_ATTEMPT_MS = 800;

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
  const { hosts, connectTimeoutMs, description } = calls.database;
  const giveUpAtMs = performance.now() + waitTimeoutMs;
  // As for an attempt to acquire: doubled each time, and never more than the rest of the wait.
  const limitMs = (attempt: number): number => {
    const ownMs = hosts * (connectTimeoutMs ?? CALL_LIMIT_MS * 2 ** Math.min(attempt - 1, 20));
    if (waitTimeoutMs === 0) return Math.min(ownMs, CALL_LIMIT_MS);
    return Math.max(LAST_ATTEMPT_MS, Math.min(ownMs, giveUpAtMs - performance.now()));
  };
  for (let attempts = 1; ; attempts++) {
    try {
      const { state, lease } = await calls.status(limitMs(attempts));
      return state === 'held' ? lease : null;
    } catch (error) {
      signal.throwIfAborted();
      const kind = classify(error);
      if (kind !== 'unavailable' && kind !== 'contention') return null;
      const pauseMs = backoffMs(attempts);
      if (performance.now() + pauseMs >= giveUpAtMs) {
        // The wait would be tried for as long once more.
        if (kind === 'unavailable') throw explain(error, description, calls.schema);
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
