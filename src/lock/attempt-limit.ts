import type { Database } from '../db/database.js';
import { CALL_LIMIT_MS } from './calls.js';

/** The last attempt, made at the wait timeout, may take this long. */
const LAST_ATTEMPT_MS = 800;

/**
 * The time limit of an attempt: 5 s for each host, doubled after each attempt that timed out (a database may need time to
 * resume), or `connect_timeout`. Not more than the rest of the wait, but enough for a last attempt.
 */
export function attemptLimitMs(
  { hosts, connectTimeoutMs }: Pick<Database, 'hosts' | 'connectTimeoutMs'>,
  { timedOut, waitTimeoutMs, leftMs }: { timedOut: number; waitTimeoutMs: number; leftMs: number },
): number {
  const ownMs = hosts * (connectTimeoutMs ?? CALL_LIMIT_MS * 2 ** Math.min(timedOut, 20));
  if (waitTimeoutMs === 0) return Math.min(ownMs, CALL_LIMIT_MS);
  return Math.max(LAST_ATTEMPT_MS, Math.min(ownMs, leftMs));
}
