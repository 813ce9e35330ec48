import type { HolderDescription, Lease } from './lease.js';

/** A database session of a lease. */
export interface OrphanSession {
  pid: number;
  role: string | null;
  /** The client's address; null: hidden, or a Unix socket. */
  client: string | null;
  /** null: hidden. */
  state: string | null;
  /** The start of its transaction, as the database formats it; null: none, or hidden. */
  since: string | null;
  /** How long its transaction has been open; null: none, or hidden. */
  openMs: number | null;
}

/** The sessions that a takeover or a release waits for. */
export interface Orphans {
  sessions: OrphanSession[];
  /** How many of them our role may not end. */
  denied: number;
}

export interface Acquired {
  outcome: 'acquired';
  lease: Lease;
  takeover: Takeover | null;
  /** The hash of this event's row in the history; null: the history has no chain any more. */
  auditHash: string | null;
  /** How many more connections our role can make; null: this answer does not say. */
  connectionsLeft: number | null;
  /** Another command that was run with our run key; null: none. */
  otherCommand: string | null;
  /** How the last lease of our command ended, if that was unclean; null: it was not, or there was none. */
  previousEnd: UncleanEnd | null;
}

/** How a lease under which a command was started ended. Every other end than `clean` is an unclean end. */
export type LeaseEnd = 'clean' | 'signalled' | 'deadline' | 'killed' | 'expired' | 'unlocked' | 'leftovers';

/** The unclean end of a command's last lease. */
export interface UncleanEnd {
  kind: Exclude<LeaseEnd, 'clean'>;
  instanceId: string;
  command: string | null;
  /** When its lease began. */
  lockedAtMs: number;
  endedAtMs: number;
}

export interface Takeover {
  previousInstanceId: string;
  expiredMs: number;
  sessionsEnded: number;
  auditHash: string | null;
}

export interface Held {
  outcome: 'held';
  /** null while another transaction changes the row. */
  holder: HolderDescription | null;
  /** The number of waiters, this one included. */
  queueLength: number;
  /** Not null: the lease has expired, and these sessions of it must end before the takeover. */
  orphans: Orphans | null;
  /** A release notifies this session, so the connection is kept. */
  listens: boolean;
  /** The number of waiters that a release notifies. */
  listening: number;
  /** How many more connections our role can make; null: this answer does not say. */
  connectionsLeft: number | null;
  /** Not null: the attempt exceeded the rate limit and was not made. The next one is allowed after this time. */
  retryAfterMs: number | null;
}

/** The last run of the work of a run key. */
export interface RunDescription {
  succeeded: boolean;
  exitCode: number;
  instanceId: string;
  host: string | null;
  command: string | null;
  finishedAtMs: number;
  durationMs: number;
}

/** What a waiter with a run key reads between two polls, and a run whose check found nothing to do. */
export interface RunKeyState {
  /** null: the work is not done yet. */
  run: RunDescription | null;
  isHeld: boolean;
  /** A lease was not released, or the last lease of our command had an unclean end. */
  mayBeUnfinished: boolean;
}

/** What a watcher reads of its run key. */
export interface WatchAnswer {
  /** Every command that is known, waits or runs under the key has succeeded at its newest run, and at least one has. */
  done: boolean;
  /** The newest run that succeeded. */
  success: RunDescription | null;
  /** The newest run of a command that failed at its last run. */
  failure: RunDescription | null;
  /** How long ago that run finished, on the database's clock. */
  failedAgoMs: number | null;
  /** The unclean end of a command that has not succeeded since. */
  uncleanEnd: UncleanEnd | null;
  /** A run waits or runs under the key. */
  isAwaited: boolean;
  /** The holder of the lock now, whatever it runs. */
  holder: HolderDescription | null;
  /** The number of watchers, this one included; null: it could not be announced. */
  watchers: number | null;
}

/** The work of the run key is done, or has just failed. */
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

export type SettleAnswer =
  { outcome: 'settled' } | { outcome: 'refused' } | ({ outcome: 'orphans' } & Orphans);

/** Who has the lease, and who waits for it. */
export interface LockStatus {
  /** `expired`: the lease has expired without a release; the next attempt takes over. */
  state: 'free' | 'held' | 'expired';
  /** The last lease, whatever its state; null before the first. */
  lease: HolderDescription | null;
  /** In order of arrival. `waitingMs`: for how long each has waited. */
  waiters: {
    instanceId: string;
    host: string | null;
    pid: number | null;
    dbRole: string;
    command: string | null;
    runKey: string | null;
    waitingMs: number;
  }[];
  /** How many instances wait for a run key; null: not known, on a replica. */
  watchers: number | null;
  /** The commands whose last lease had an unclean end, the newest 100, in order of time. */
  uncleanEnds: UncleanEnd[];
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
  /** null: the row is not part of the chain. */
  auditHash: string | null;
}

/** A page of the history, for its verification. */
export interface ChainPage {
  /** null: missing. */
  ends: ChainEnds | null;
  rows: ChainRow[];
}

export interface ChainEnds {
  headSeq: number;
  headHash: string;
  /** The last row that `cleanup` has removed; 0: none. */
  tailSeq: number;
  tailHash: string;
}

export interface ChainRow {
  id: number;
  /** null: the row is not part of the chain. */
  seq: number | null;
  event: string;
  details: Record<string, unknown>;
  hash: string | null;
  /** The input of its hash, after the hash of the row before it. */
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
