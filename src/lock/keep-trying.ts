import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../db/backoff.js';
import { mayPass } from '../db/classify.js';
import { CALL_LIMIT_MS } from './calls.js';

export interface TryOptions {
  /** The last moment for an answer, which may move meanwhile. */
  untilMs: () => number;
  /** Whether the result is still needed. */
  isWanted: () => boolean;
  /** Called before each further try. */
  onFailure: (error: unknown, attempt: number) => void;
}

/** The one try that is made however late it is gets this long. */
const SHORTEST_TRY_MS = 250;

/**
 * Makes a call, and again while the database is unavailable or another transaction has locked what it needs.
 * @throws the last failure.
 */
export async function keepTrying<T>(
  call: (limitMs: number) => Promise<T>,
  { untilMs, isWanted, onFailure }: TryOptions,
): Promise<T> {
  const leftMs = (): number => untilMs() - performance.now();
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(Math.max(SHORTEST_TRY_MS, Math.min(CALL_LIMIT_MS, leftMs())));
    } catch (error) {
      if (!mayPass(error) || !isWanted() || leftMs() <= 0) throw error;
      onFailure(error, attempt);
      await sleep(Math.max(0, Math.min(backoffMs(attempt), leftMs())));
      if (!isWanted() || leftMs() <= 0) throw error;
    }
  }
}
