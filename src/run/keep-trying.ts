import { mayPass } from '../db/classify.js';
import { explain } from '../db/explain.js';
import type { LockCalls } from '../lock/calls.js';
import { keepTrying as keepTryingUntil, type Tries as TriesUntil } from '../lock/keep-trying.js';
import type { HolderAnswer } from './holder/holder-socket.js';

export interface Tries extends Omit<TriesUntil, 'untilMs'> {
  /** The command's deadline, which may move meanwhile. */
  termAtMs: () => number;
}

/** Who asked is asked to end at the deadline, and must have its answer before that. */
const ANSWER_BEFORE_MS = 500;

/**
 * Makes a call, and again until the command's deadline while the database is away or somebody else has locked what it needs.
 * @throws the last failure.
 */
export function keepTrying<T>(
  call: (limitMs: number) => Promise<T>,
  { termAtMs, ...tries }: Tries,
): Promise<T> {
  return keepTryingUntil(call, { ...tries, untilMs: () => termAtMs() - ANSWER_BEFORE_MS });
}

/** What is told to who asked for more time, and the database did not give it. */
export function notGiven(error: unknown, { database, schema }: LockCalls, expiresAt: Date): HolderAnswer {
  const explained = explain(error, database.description, schema);
  const lasts = `The lease is held until ${expiresAt.toISOString()}`;
  // What passes by itself has not passed in time: the database was as good as away.
  const code = mayPass(error) ? 'DATABASE_UNREACHABLE' : explained.code;
  const said = explained.message.replace(/\.$/, '');
  return { ok: false, code, message: code === 'USAGE' ? said : `${said}. ${lasts}` };
}
