import { setTimeout as sleep } from 'node:timers/promises';
import type { EventBody } from '../events/events.js';
import type { Acquired, Attempt } from './answers.js';
import type { LockCalls } from './calls.js';
import type { Identity } from './lease.js';

/** The time limit for the answer to the last poll and for leaving the queue. */
const LEAVE_LIMIT_MS = 2_000;

/**
 * After an abort: leaves the queue, and releases a lease that the last poll may have acquired. Never throws: the row in the
 * queue ages out, and an unused lease expires.
 */
export async function leaveQueue(
  calls: LockCalls,
  me: Identity,
  polling: Promise<Attempt | null> | undefined,
  report: { acquired: (acquired: Acquired) => void; emit: (event: EventBody) => void },
): Promise<void> {
  const { database } = calls;
  if (polling === undefined) {
    database.disconnect();
    return;
  }
  const endsAtMs = performance.now() + LEAVE_LIMIT_MS;
  const last = await Promise.race([
    polling.catch(() => undefined),
    sleep(LEAVE_LIMIT_MS / 2, undefined, { ref: false }),
  ]);
  if (last?.outcome === 'acquired') report.acquired(last);
  else if (last === undefined) database.disconnect();
  try {
    const answer = await calls.leave(me, Math.max(1, endsAtMs - performance.now()));
    if (answer.outcome === 'released') {
      const { heldMs, auditHash } = answer;
      report.emit({ event: 'lock.released', heldMs: Math.max(0, heldMs), auditHash });
    }
  } catch {
    // The row in the queue ages out, and the lease expires.
  }
}
