import { setTimeout as sleep } from 'node:timers/promises';
import type { Orphans } from './answers.js';
import { CALL_LIMIT_MS } from './calls.js';

/** Terminated sessions end within milliseconds, so the first pauses are short. */
export function orphanPauseMs(attempt: number): number {
  return Math.min(5 * attempt, 100);
}

/**
 * Repeats a call that terminates sessions, until none is left or the time limit has passed.
 * @param call gets the sessions that the previous call found.
 * @returns the last answer.
 */
export async function untilSessionsEnd<T>(
  call: (seen: Orphans | null) => Promise<T>,
  orphansOf: (answer: T) => Orphans | null,
): Promise<T> {
  const endsAtMs = performance.now() + CALL_LIMIT_MS;
  let seen: Orphans | null = null;
  for (let attempt = 1; ; attempt++) {
    const isLast = performance.now() > endsAtMs;
    const answer = await call(seen);
    seen = orphansOf(answer);
    if (seen === null || isLast) return answer;
    await sleep(orphanPauseMs(attempt));
  }
}
