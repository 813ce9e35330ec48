import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../db/database.js';
import { integer, object } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';

const LONGEST_MS = 5_000;
/** At most this part of the command's time. */
const PART = 1 / 5;
const PAUSE_MS = 40;
/** How many reads in a row must find at most one other session. */
const QUIET_READS = 5;

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
  const call = { name: 'count the other sessions', statement: CALLS.otherSessions, parameters: [] };
  try {
    for (let reads = 0, quietReads = 0; quietReads < QUIET_READS; reads++) {
      const limitMs = endsAtMs - performance.now();
      if (limitMs <= 0) return;
      const { sessions } = answerShape(await database.call({ ...call, limitMs }), call.name);
      // A role with one connection, or others than runs use the rest: that does not end soon.
      if (reads === 0 && sessions === 0 && connectionsLeft <= 0) return;
      quietReads = sessions <= 1 ? quietReads + 1 : 0;
      await sleep(PAUSE_MS, undefined, { signal });
    }
  } catch {
    // The signal was aborted, or the database did not answer: the release reports it.
  }
}
