import type { HolderDescription, Lease } from './lease.js';

/** A database session that works under a lease. */
export interface OrphanSession {
  pid: number;
  role: string | null;
  /** The client's address; null: hidden from us, or over a Unix socket. */
  client: string | null;
  /** null: hidden from us. */
  state: string | null;
  /** When its transaction began, as the database wrote it; null: none, or hidden. */
  since: string | null;
  /** For how long its transaction is open; null: none, or hidden. */
  openMs: number | null;
}

/** What a takeover or a release still waits for. */
export interface Orphans {
  sessions: OrphanSession[];
  /** How many of them our role may not end. */
  denied: number;
}

export interface Acquired {
  outcome: 'acquired';
  lease: Lease;
  takeover: Takeover | null;
  /** The hash of this step's row in the history; null: the history has lost its chain. */
  auditHash: string | null;
  /** How many more connections our role can make; null: this answer does not say. */
  connectionsLeft: number | null;
  /** Another command that our run key is known with; null: none. */
  otherCommand: string | null;
}

export interface Takeover {
  previousInstanceId: string;
  expiredMs: number;
  sessionsEnded: number;
  auditHash: string | null;
}

export interface Held {
  outcome: 'held';
  /** null while somebody is just changing the row. */
  holder: HolderDescription | null;
  /** How many wait, the caller included. */
  queueLength: number;
  /** Not null: the lease has expired, and these sessions of it have to go first. */
  orphans: Orphans | null;
  /** A release notifies this session: the connection is worth keeping. */
  listens: boolean;
  /** How many are notified. */
  listening: number;
  /** How many more connections our role can make; null: this answer does not say. */
  connectionsLeft: number | null;
  /** Not null: too many attempts came from here, this one was not made, and the next is to come after this time at the earliest. */
  retryAfterMs: number | null;
}

/** How the work of a run key ended when it was run last. */
export interface RunDescription {
  succeeded: boolean;
  exitCode: number;
  instanceId: string;
  host: string | null;
  command: string | null;
  finishedAtMs: number;
  durationMs: number;
}

/** What a waiter with a run key sees between two polls. */
export interface Look {
  /** null: the work is still to be done. */
  run: RunDescription | null;
  isHeld: boolean;
}

/** The work of the run key is done, or failed just now: there is nothing to wait for. */
export interface Settled {
  outcome: 'settled';
  run: RunDescription;
}

export type Attempt = Acquired | Held | Settled;

export type ReleaseAnswer =
  | { outcome: 'released'; heldMs: number; late: boolean; auditHash: string | null }
  | { outcome: 'already_released'; auditHash: string | null }
  | { outcome: 'lost'; holder: string | null }
  | { outcome: 'refused' }
  | ({ outcome: 'orphans' } & Orphans);

export interface LockStatus {
  /** `expired`: the lease ran out and was never released; the next to come takes over. */
  state: 'free' | 'held' | 'expired';
  /** The last lease, whatever its state; null before the first. */
  lease: HolderDescription | null;
  /** In order of arrival. */
  waiters: {
    instanceId: string;
    host: string | null;
    pid: number | null;
    dbRole: string;
    command: string | null;
    runKey: string | null;
    waitingMs: number;
  }[];
}

export type ExtendAnswer =
  { outcome: 'extended'; lease: Lease; auditHash: string | null } | { outcome: 'refused' };

/** A row of the history. */
export interface HistoryRow {
  id: number;
  atMs: number;
  event: string;
  instanceId: string | null;
  fencingToken: number | null;
  dbRole: string;
  /** null: over a Unix socket. */
  clientAddress: string | null;
  applicationName: string | null;
  details: Record<string, unknown>;
  /** null: it is not of the chain. */
  auditHash: string | null;
}

/** A page of the history as who verifies it needs it. */
export interface ChainPage {
  /** null: they are missing. */
  ends: ChainEnds | null;
  rows: ChainRow[];
}

export interface ChainEnds {
  headSeq: number;
  headHash: string;
  /** The last row that cleanup has removed; 0: none. */
  tailSeq: number;
  tailHash: string;
}

export interface ChainRow {
  id: number;
  /** null: it is not of the chain. */
  seq: number | null;
  event: string;
  details: Record<string, unknown>;
  hash: string | null;
  /** What its hash is of, after the hash of the row before it. */
  text: string;
}

export type UnlockAnswer =
  | { outcome: 'free' }
  | { outcome: 'refused'; reason: 'holder' | 'live'; holder: HolderDescription }
  | ({ outcome: 'orphans' } & Orphans)
  | { outcome: 'released'; heldMs: number; sessionsEnded: number; sessionsLeft: number[] };

export interface CleanupAnswer {
  leases: number;
  waiters: number;
  orphans: Orphans | null;
}

export interface PruneAnswer {
  runs: number;
  rows: number;
  /** There may be more to remove. */
  more: boolean;
}
