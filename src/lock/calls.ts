import type { Call, Database } from '../db/database.js';
import { CALLS } from '../generated/sql.js';
import { renderSql } from '../schema/render.js';
import type { ClientDescription, HolderDescription, Identity, Lease } from './lease.js';

/** How long one call may take before its connection counts as dead. */
export const CALL_LIMIT_MS = 5_000;

/** What happens to sessions of a lease whose holder no longer speaks for it; see settle_orphans() in sql/. */
export type OrphanMode = 'auto' | 'terminate' | 'wait' | 'ignore';

/** A database session that works under a lease. */
export interface OrphanSession {
  pid: number;
  role: string | null;
  /** null: hidden from us. */
  state: string | null;
  /** When its transaction began, as the database wrote it; null: none, or hidden. */
  since: string | null;
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
  takeover: { previousInstanceId: string; expiredMs: number; sessionsEnded: number } | null;
}

export interface Held {
  outcome: 'held';
  /** null while somebody is just changing the row. */
  holder: HolderDescription | null;
  /** How many wait, the caller included. */
  queueLength: number;
  /** Not null: the lease has expired, and these sessions of it have to go first. */
  orphans: Orphans | null;
}

export type ReleaseAnswer =
  | { outcome: 'released'; heldMs: number; late: boolean }
  | { outcome: 'already_released' }
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

export type ExtendAnswer = { outcome: 'extended'; lease: Lease } | { outcome: 'refused' };

export interface CleanupAnswer {
  leases: number;
  waiters: number;
  orphans: Orphans | null;
}

export interface PollOptions {
  ttlMs: number;
  pollIntervalMs: number;
  isLast: boolean;
  limitMs: number;
  /** The fencing token of a lease that still runs by our own clock, whatever the database's says. */
  respect: number | null;
  /** What the last poll said is still in the way. */
  orphans: Orphans | null;
}

export interface ReleaseOptions {
  /** What is kept in the history about the use that was made of the lease. */
  details?: object;
  /** What the last call said is still in the way. */
  orphans?: Orphans | null;
  limitMs?: number;
}

/** The operations on one lock: one SQL function, one transaction each. Errors are the database's (see classify()). */
export class LockCalls {
  constructor(
    readonly database: Database,
    readonly schema: string,
    readonly orphanMode: OrphanMode = 'auto',
  ) {}

  /**
   * One attempt that also announces me as a waiter, and learns how many wait. The last one leaves the queue if it does
   * not acquire, and goes into the history as a timeout.
   */
  async poll(me: Identity, client: ClientDescription, options: PollOptions): Promise<Acquired | Held> {
    const { ttlMs, pollIntervalMs, isLast, limitMs, respect, orphans } = options;
    const policy = await this.#policy(orphans, limitMs);
    const sentAtMs = performance.now();
    const parameters = [
      me.instanceId,
      me.secret,
      ttlMs,
      JSON.stringify(client),
      JSON.stringify({ ...policy, respect }),
      pollIntervalMs,
      isLast,
    ];
    return readAttempt(await this.#call('poll', 'poll the lock', parameters, limitMs), sentAtMs);
  }

  /** Leaves the queue, and gives back what an attempt whose answer was not waited for may have brought. */
  async leave(me: Identity, limitMs: number): Promise<ReleaseAnswer | { outcome: 'left' }> {
    const answer = await this.#call('leave', 'leave the queue', [me.instanceId, me.secret], limitMs);
    return answer as ReleaseAnswer | { outcome: 'left' };
  }

  async release(
    me: Identity,
    { details = {}, orphans = null, limitMs = CALL_LIMIT_MS }: ReleaseOptions = {},
  ): Promise<ReleaseAnswer> {
    const policy = JSON.stringify(await this.#policy(orphans, limitMs));
    const parameters = [me.instanceId, me.secret, policy, JSON.stringify(details)];
    return (await this.#call('release', 'release the lease', parameters, limitMs)) as ReleaseAnswer;
  }

  /** Refused when the lease is over, or not mine. The lease's new end counts from before the call was sent. */
  async extend(me: Identity, ttlMs: number, limitMs = CALL_LIMIT_MS): Promise<ExtendAnswer> {
    const sentAtMs = performance.now();
    const answer = (await this.#call(
      'extend',
      'extend the lease',
      [me.instanceId, me.secret, ttlMs],
      limitMs,
    )) as { outcome: 'extended'; lease: HolderDescription } | { outcome: 'refused' };
    return answer.outcome === 'refused'
      ? answer
      : { outcome: 'extended', lease: readLease(answer.lease, sentAtMs) };
  }

  /** @throws SQLSTATE 55000 when the lease is not held. */
  async assertHeld(instanceId: string, fencingToken: number, limitMs = CALL_LIMIT_MS): Promise<void> {
    await this.#call('assertHeld', 'assert the lease', [instanceId, fencingToken], limitMs);
  }

  async status(limitMs = CALL_LIMIT_MS): Promise<LockStatus> {
    return (await this.#call('status', 'read the status', [], limitMs)) as LockStatus;
  }

  async cleanup(orphans: Orphans | null = null, limitMs = CALL_LIMIT_MS): Promise<CleanupAnswer> {
    const policy = JSON.stringify(await this.#policy(orphans, limitMs));
    return (await this.#call('cleanup', 'clean up', [policy], limitMs)) as CleanupAnswer;
  }

  /** Whether sessions that are in the way are told to end, as far as is known; else they are waited for. */
  get endsOrphans(): boolean {
    return this.orphanMode === 'terminate' || (this.orphanMode === 'auto' && !this.database.isPooled);
  }

  /** A pooler hands the tag of a session on to strangers: behind one, nothing may be ended by it. */
  async #policy(seen: Orphans | null, limitMs: number): Promise<object> {
    const mode =
      this.orphanMode === 'auto'
        ? (await this.database.findPooler(limitMs))
          ? 'wait'
          : 'terminate'
        : this.orphanMode;
    return seen === null ? { orphans: mode } : { orphans: mode, seen: seen.sessions };
  }

  #call(
    statement: keyof typeof CALLS,
    name: string,
    parameters: Call['parameters'],
    limitMs: number,
  ): Promise<unknown> {
    return this.database.call({
      name,
      statement: renderSql(CALLS[statement], this.schema),
      parameters,
      limitMs,
    });
  }
}

type RawAttempt =
  | { outcome: 'acquired'; lease: HolderDescription; takeover: Acquired['takeover'] }
  | { outcome: 'held'; holder: HolderDescription | null; queueLength: number; orphans?: Orphans };

/**
 * The holder counts its lease from before the call was sent: the database started it later, so ours ends earlier.
 * That also holds when the answer only recognizes a lease that an earlier, unanswered call had acquired.
 */
function readAttempt(answer: unknown, sentAtMs: number): Acquired | Held {
  const attempt = answer as RawAttempt;
  if (attempt.outcome === 'held') {
    const { holder, queueLength, orphans = null } = attempt;
    return { outcome: 'held', holder, queueLength, orphans };
  }
  return { outcome: 'acquired', takeover: attempt.takeover, lease: readLease(attempt.lease, sentAtMs) };
}

function readLease(lease: HolderDescription, sentAtMs: number): Lease {
  return {
    instanceId: lease.instanceId,
    fencingToken: lease.fencingToken,
    lockedAt: new Date(lease.lockedAtMs),
    expiresAt: new Date(lease.expiresAtMs),
    endsAtMs: sentAtMs + lease.expiresInMs,
  };
}
