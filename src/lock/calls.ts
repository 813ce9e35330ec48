import type { Database } from '../db/database.js';
import { CALLS } from '../generated/sql.js';
import { renderSql } from '../schema/render.js';
import type { ClientDescription, HolderDescription, Identity, Lease } from './lease.js';

/** How long one call may take before its connection counts as dead. */
export const CALL_LIMIT_MS = 5_000;

export interface Acquired {
  outcome: 'acquired';
  lease: Lease;
  takeover: { previousInstanceId: string; expiredMs: number } | null;
}

export interface Held {
  outcome: 'held';
  /** null while somebody is just changing the row. */
  holder: HolderDescription | null;
  /** How many wait, the caller included; 0 when it did not announce itself. */
  queueLength: number;
}

export type ReleaseAnswer =
  | { outcome: 'released'; heldMs: number; late: boolean }
  | { outcome: 'already_released' }
  | { outcome: 'lost'; holder: string | null }
  | { outcome: 'refused' };

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

/** The operations on one lock: one SQL function, one transaction each. Errors are the database's (see classify()). */
export class LockCalls {
  constructor(
    readonly database: Database,
    readonly schema: string,
  ) {}

  /** One attempt, without joining the queue. */
  async acquire(
    me: Identity,
    client: ClientDescription,
    ttlMs: number,
    limitMs: number,
  ): Promise<Acquired | Held> {
    const sentAtMs = performance.now();
    const parameters = [me.instanceId, me.secret, ttlMs, JSON.stringify(client)];
    return readAttempt(await this.#call('acquire', 'acquire the lease', parameters, limitMs), sentAtMs);
  }

  /**
   * One attempt that also announces me as a waiter, and learns how many wait. The last one leaves the queue if it does
   * not acquire, and goes into the history as a timeout.
   */
  async poll(
    me: Identity,
    client: ClientDescription,
    {
      ttlMs,
      pollIntervalMs,
      isLast,
      limitMs,
    }: { ttlMs: number; pollIntervalMs: number; isLast: boolean; limitMs: number },
  ): Promise<Acquired | Held> {
    const sentAtMs = performance.now();
    const parameters = [
      me.instanceId,
      me.secret,
      ttlMs,
      JSON.stringify(client),
      pollIntervalMs,
      String(isLast),
    ];
    return readAttempt(await this.#call('poll', 'poll the lock', parameters, limitMs), sentAtMs);
  }

  /** Leaves the queue, and gives back what an attempt whose answer was not waited for may have brought. */
  async leave(me: Identity, limitMs: number): Promise<ReleaseAnswer | { outcome: 'left' }> {
    const answer = await this.#call('leave', 'leave the queue', [me.instanceId, me.secret], limitMs);
    return answer as ReleaseAnswer | { outcome: 'left' };
  }

  async release(me: Identity, details: object, limitMs: number): Promise<ReleaseAnswer> {
    const parameters = [me.instanceId, me.secret, JSON.stringify(details)];
    return (await this.#call('release', 'release the lease', parameters, limitMs)) as ReleaseAnswer;
  }

  async status(limitMs: number): Promise<LockStatus> {
    return (await this.#call('status', 'read the status', [], limitMs)) as LockStatus;
  }

  async cleanup(limitMs: number): Promise<{ leases: number; waiters: number }> {
    return (await this.#call('cleanup', 'clean up', [], limitMs)) as { leases: number; waiters: number };
  }

  #call(
    statement: keyof typeof CALLS,
    name: string,
    parameters: (string | number | null)[],
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
  | { outcome: 'held'; holder: HolderDescription | null; queueLength?: number };

/**
 * The holder counts its lease from before the call was sent: the database started it later, so ours ends earlier.
 * That also holds when the answer only recognizes a lease that an earlier, unanswered call had acquired.
 */
function readAttempt(answer: unknown, sentAtMs: number): Acquired | Held {
  const attempt = answer as RawAttempt;
  if (attempt.outcome === 'held') {
    return { outcome: 'held', holder: attempt.holder, queueLength: attempt.queueLength ?? 0 };
  }
  const { lease, takeover } = attempt;
  return {
    outcome: 'acquired',
    takeover,
    lease: {
      instanceId: lease.instanceId,
      fencingToken: lease.fencingToken,
      lockedAt: new Date(lease.lockedAtMs),
      expiresAt: new Date(lease.expiresAtMs),
      endsAtMs: sentAtMs + lease.expiresInMs,
    },
  };
}
