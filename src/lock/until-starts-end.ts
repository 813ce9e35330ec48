import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../db/database.js';
import { integer, object } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';

const LONGEST_MS = 5_000;
/** At most this part of the command's time. */
const PART = 1 / 5;
const BETWEEN_LOOKS_MS = 40;
/** So many looks in a row find at most one other session. */
const QUIET_LOOKS = 5;

const answerShape = object({ sessions: integer(0, 1e6) });

/**
 * Keeps our connection while other runs start: their first polls take every connection that is left, and the command would find
 * none. Without an answer it does not wait, and it never throws.
 */
export async function untilStartsEnd(
  database: Database,
  { workMs, connectionsLeft, signal }: { workMs: number; connectionsLeft: number; signal: AbortSignal },
): Promise<void> {
  const endsAtMs = performance.now() + Math.min(LONGEST_MS, workMs * PART);
  const look = { name: 'count the other sessions', statement: CALLS.otherSessions, parameters: [] };
  try {
    for (let looks = 0, quietLooks = 0; quietLooks < QUIET_LOOKS; looks++) {
      const limitMs = endsAtMs - performance.now();
      if (limitMs <= 0) return;
      const { sessions } = answerShape(await database.call({ ...look, limitMs }), look.name);
      // A role with one connection, or others than runs use the rest: that does not end soon.
      if (looks === 0 && sessions === 0 && connectionsLeft <= 0) return;
      quietLooks = sessions <= 1 ? quietLooks + 1 : 0;
      await sleep(BETWEEN_LOOKS_MS, undefined, { signal });
    }
  } catch {
    // The signal was aborted, or the database did not answer: the release reports it.
  }
}
