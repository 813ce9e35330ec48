/** What is in the way of a session that waits for a lock. */
export interface BlockerSummary {
  /** 0: a prepared transaction. */
  pid: number;
  role: string | null;
  application: string | null;
  /** null: hidden from us, as for all of a role that we may not see. */
  state: string | null;
  /** How long its transaction has been open; null: none, or hidden from us. */
  openMs: number | null;
  /** It is a session of the lease itself. */
  isOwn: boolean;
}

/** What a database session of a lease is doing. */
export interface SessionActivity {
  pid: number;
  role: string | null;
  /** The client's address; null: hidden from us, or a Unix socket. */
  client: string | null;
  /** null: hidden from us, and so are the next four. */
  state: string | null;
  stateMs: number | null;
  openMs: number | null;
  waitEvent: string | null;
  /** Its present or last statement, with `?` for literals and comments; null: hidden from us, or not read with certainty. */
  statement: string | null;
  /** The lock that it waits for; null: none. `ms`: null before PostgreSQL 14. */
  waiting: {
    lock: string;
    mode: string;
    object: string | null;
    ms: number | null;
    blockers: BlockerSummary[];
  } | null;
  /** How many sessions of others wait for this one, directly or through others. */
  queued: number;
  /** What PostgreSQL reports of a long command. `done`: the share of the phase that is done, from 0 to 1. */
  progress: { command: string; object: string | null; phase: string | null; done: number | null } | null;
}
