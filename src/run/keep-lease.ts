import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessDescription } from '../child/process-entry.js';
import { backoffMs } from '../db/backoff.js';
import { errorCode, mayPass } from '../db/classify.js';
import { explain } from '../db/explain.js';
import type { EventBody } from '../events/events.js';
import { CALL_LIMIT_MS, type LockCalls } from '../lock/calls.js';
import type { Identity, Lease } from '../lock/lease.js';

export interface LeaseKeeperOptions {
  calls: LockCalls;
  me: Identity;
  /** The lease as it is now. */
  lease: () => Lease;
  onExtended: (lease: Lease) => void;
  ttlMs: number;
  /** The command exited by itself and left these processes: the lease is extended once. */
  onlyOnce: boolean;
  /** The processes that could not be ended, as far as they can be described. */
  survivors: () => Promise<ProcessDescription[]>;
  /** Sets until when the processes are watched. */
  watchUntil: (untilMs: number) => void;
  emit: (event: EventBody) => void;
}

/** The extension must succeed before the lease ends, so retries are at most this far apart. */
const LONGEST_PAUSE_MS = 200;

/**
 * Extends the lease while processes of the command run that cannot be ended (another user's, after sudo), so that the next
 * run does not start beside them. Only the lease's end moves, not the command's deadline. When the lease cannot be extended,
 * it expires.
 */
export class LeaseKeeper {
  #failure: string | undefined;
  readonly #stopped = new AbortController();
  readonly #done: Promise<void>;

  /** The first extension is sent at once. */
  constructor(private readonly options: LeaseKeeperOptions) {
    options.watchUntil(Infinity);
    this.#done = this.#keep();
  }

  /** Why it could not be extended; undefined when it was. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Stops extending the lease and watching the processes. */
  giveUp(): void {
    this.#stopped.abort();
    this.options.watchUntil(performance.now());
  }

  /** Stops extending the lease, because no process is left. Resolves when no call is in progress. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
  }

  async #keep(): Promise<void> {
    const { ttlMs, onlyOnce, watchUntil } = this.options;
    while (!this.#isStopped()) {
      const isExtended = await this.#extend();
      if (!isExtended || onlyOnce) {
        // If they exit before the lease ends, it is released.
        if (!this.#isStopped()) watchUntil(this.options.lease().endsAtMs);
        return;
      }
      await this.#pause(this.options.lease().endsAtMs - ttlMs / 2 - performance.now());
    }
  }

  /** Tries until the lease has ended. @returns false: it was not extended. */
  async #extend(): Promise<boolean> {
    const { calls, me, ttlMs } = this.options;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await calls.extend(me, ttlMs, Math.min(CALL_LIMIT_MS, Math.max(1, this.#leftMs)));
        if (answer.outcome === 'refused')
          return this.#fail('it has ended, or another instance holds the lock');
        const endsAtMs = Math.max(this.options.lease().endsAtMs, answer.lease.endsAtMs);
        this.options.onExtended({ ...answer.lease, endsAtMs });
        await this.#report(answer.auditHash);
        return true;
      } catch (error) {
        const { message } = explain(error, calls.database.description, calls.schema);
        if (!mayPass(error) || this.#leftMs <= 0) return this.#fail(message);
        const code = errorCode(error);
        if (attempt === 1)
          this.options.emit({ event: 'database.unavailable', code, message, attempts: attempt });
        await this.#pause(Math.min(backoffMs(attempt), LONGEST_PAUSE_MS, this.#leftMs));
        if (this.#isStopped()) return false;
      }
    }
  }

  get #leftMs(): number {
    return this.options.lease().endsAtMs - performance.now();
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  #fail(reason: string): false {
    this.#failure = reason;
    return false;
  }

  async #report(auditHash: string | null): Promise<void> {
    const { ttlMs, onlyOnce, survivors, emit } = this.options;
    const expiresAt = this.options.lease().expiresAt.toISOString();
    const named = await survivors();
    const processes = named.length > 0 ? named : null;
    emit({ event: 'lease.kept', processes, ttlMs, expiresAt, last: onlyOnce, auditHash });
  }

  async #pause(ms: number): Promise<void> {
    await sleep(Math.max(0, ms), undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }
}
