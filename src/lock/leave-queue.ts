import { setTimeout as sleep } from 'node:timers/promises';
import type { EventBody } from '../events/events.js';
import type { Acquired, Attempt } from './answers.js';
import type { LockCalls } from './calls.js';
import type { Identity } from './lease.js';

/** How long the database is given to answer a poll that is on its way and to take us out of the queue. */
const LEAVE_LIMIT_MS = 2_000;

/**
 * After an abort: takes us out of the queue, and gives back what the last poll, answered or not, may have brought. Never
 * throws: the row of the queue ages out, and a lease that nobody uses runs out.
 */
export async function leaveQueue(
  calls: LockCalls,
  me: Identity,
  polling: Promise<Attempt | null> | undefined,
  tell: { acquired: (acquired: Acquired) => void; emit: (event: EventBody) => void },
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
  if (last?.outcome === 'acquired') tell.acquired(last);
  else if (last === undefined) database.disconnect();
  try {
    const answer = await calls.leave(me, Math.max(1, endsAtMs - performance.now()));
    if (answer.outcome === 'released') {
      const { heldMs, auditHash } = answer;
      tell.emit({ event: 'lock.released', heldMs: Math.max(0, heldMs), auditHash });
    }
  } catch {
    // See above.
  }
}
