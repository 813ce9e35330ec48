import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessDescription } from '../child/process-entry.js';
import { backoffMs } from '../db/backoff.js';
import { errorCode, mayPass } from '../db/classify.js';
import { explain } from '../db/explain.js';
import type { EventBody } from '../events/events.js';
import { CALL_LIMIT_MS, type LockCalls } from '../lock/calls.js';
import type { Identity, Lease } from '../lock/lease.js';

export interface KeptLease {
  calls: LockCalls;
  me: Identity;
  /** The lease as it is now. */
  lease: () => Lease;
  onExtended: (lease: Lease) => void;
  ttlMs: number;
  /** The command ended by itself and left these processes: they get one ttl more, not any number. */
  onlyOnce: boolean;
  /** Who lives on, as far as anybody can name them. */
  survivors: () => Promise<ProcessDescription[]>;
  /** Until when they are watched: nothing is done after that. */
  watchUntil: (untilMs: number) => void;
  emit: (event: EventBody) => void;
}

/** The answer to an extension has to be there before the lease ends: while none comes, it is tried this often at least. */
const LONGEST_PAUSE_MS = 200;

/**
 * Extends the lease for as long as processes of the command live that cannot be ended (another user's, after sudo): without
 * that the next run would start beside them. It moves the end of the lease alone; what the command may do stays over. When
 * the lease cannot be extended, it runs out.
 */
export class LeaseKeeper {
  #failure: string | undefined;
  readonly #stopped = new AbortController();
  readonly #done: Promise<void>;

  /** The first extension is sent at once. */
  constructor(private readonly options: KeptLease) {
    options.watchUntil(Infinity);
    this.#done = this.#keep();
  }

  /** Why it could not be extended; undefined when it was. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The lease is left as it is, and its processes alone. */
  giveUp(): void {
    this.#stopped.abort();
    this.options.watchUntil(performance.now());
  }

  /** There is nobody left to keep it for. Resolves when no extension is under way any more. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
  }

  async #keep(): Promise<void> {
    const { ttlMs, onlyOnce, watchUntil } = this.options;
    while (!this.#isStopped()) {
      const isExtended = await this.#extend();
      if (!isExtended || onlyOnce) {
        // Should they end before the lease does, it is released.
        if (!this.#isStopped()) watchUntil(this.options.lease().endsAtMs);
        return;
      }
      await this.#pause(this.options.lease().endsAtMs - ttlMs / 2 - performance.now());
    }
  }

  /** Tries until the lease is over. @returns false: it was not extended, and will not be. */
  async #extend(): Promise<boolean> {
    const { calls, me, ttlMs } = this.options;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await calls.extend(me, ttlMs, Math.min(CALL_LIMIT_MS, Math.max(1, this.#leftMs)));
        if (answer.outcome === 'refused') return this.#fail('it is over, or somebody else has it');
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
