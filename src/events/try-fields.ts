/** The fields of the events about tries of a command (`--max-block`, `--retries`); see events.ts. */

/**
 * Why a session that blocks others was left alone. `concurrently`: its statement would leave an INVALID index. `hidden`: our role may not
 * see its statement, or the server has cut it. `denied`: our role may not end it. `pooler`: it is older than the lease, so a pooler lends
 * it, also to others. `inner-run`: it belongs to a run on another lock inside the command.
 */
export type BlockingReason = 'concurrently' | 'hidden' | 'denied' | 'pooler' | 'inner-run';

export interface BlockingFields {
  /** The session of the command that is in the way. */
  sessionPid: number;
  role: string | null;
  state: string | null;
  statement: string | null;
  object: string | null;
  waiting: number;
  waitedMs: number;
  action: 'cancelled' | 'terminated' | 'reported';
  /** Why it was only reported; null otherwise. */
  reason: BlockingReason | null;
}

export interface RetryFields {
  retry: number;
  retries: number;
  delayMs: number;
  exitCode: number | null;
  signal: string | null;
  isCutOff: boolean;
}

/**
 * Why a command that failed is not started again, although retries are left. `time`: there is less than its last try took. `sessions`:
 * database sessions of it could not be ended. `indexes`: it has left an INVALID index. `lease`: the lease has ended. `database`: it did
 * not answer. `recovery`: that could not be made.
 */
export type RetriesEndedReason = 'time' | 'sessions' | 'indexes' | 'lease' | 'database' | 'recovery';

export interface RetriesEndedFields {
  /** The retry that is not made. */
  retry: number;
  retries: number;
  reason: RetriesEndedReason;
}
