import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../db/backoff.js';
import { mayPass } from '../db/classify.js';
import { explain } from '../db/explain.js';
import { CALL_LIMIT_MS, type LockCalls } from '../lock/calls.js';
import type { HolderAnswer } from './holder/holder-socket.js';

export interface Tries {
  /** The command's deadline, which may move in the meantime. */
  termAtMs: () => number;
  /** Whether the result is still needed. */
  isWanted: () => boolean;
  /** Called before each retry. */
  onFailure: (error: unknown, attempt: number) => void;
}

/** The command gets SIGTERM at the deadline, and needs its answer before that. */
const ANSWER_BEFORE_MS = 500;

/**
 * Makes a call, and repeats it while the database is unavailable, or another session has locked a row that it needs.
 * @throws the last failure.
 */
export async function keepTrying<T>(
  call: (limitMs: number) => Promise<T>,
  { termAtMs, isWanted, onFailure }: Tries,
): Promise<T> {
  const leftMs = (): number => termAtMs() - ANSWER_BEFORE_MS - performance.now();
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(Math.max(ANSWER_BEFORE_MS / 2, Math.min(CALL_LIMIT_MS, leftMs())));
    } catch (error) {
      if (!mayPass(error) || !isWanted() || leftMs() <= 0) throw error;
      onFailure(error, attempt);
      await sleep(Math.max(0, Math.min(backoffMs(attempt), leftMs())));
      if (!isWanted() || leftMs() <= 0) throw error;
    }
  }
}

/** The answer to a request for more time that the database did not grant. */
export function notGiven(error: unknown, { database, schema }: LockCalls, expiresAt: Date): HolderAnswer {
  const explained = explain(error, database.description, schema);
  const lasts = `The lease is held until ${expiresAt.toISOString()}`;
  // A temporary failure that lasted until the deadline counts as an unreachable database.
  const code = mayPass(error) ? 'DATABASE_UNREACHABLE' : explained.code;
  const said = explained.message.replace(/\.$/, '');
  return { ok: false, code, message: code === 'USAGE' ? said : `${said}. ${lasts}` };
}
