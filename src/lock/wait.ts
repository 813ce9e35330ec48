import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../db/backoff.js';
import { classify, errorCode } from '../db/classify.js';
import { explain } from '../db/explain.js';
import type { Occurrence } from '../events.js';
import { ensureSchema } from '../schema/apply.js';
import { CALL_LIMIT_MS, type Acquired, type Held, type LockCalls } from './calls.js';
import type { ClientDescription, Identity, Lease } from './lease.js';
import { LockWaitTimeoutError } from './lock-wait-timeout-error.js';
import { nextPause, type Pause } from './pacing.js';
import { WaitReport } from './wait-report.js';

export interface WaitOptions {
  ttlMs: number;
  /** 0: one attempt. */
  waitTimeoutMs: number;
  pollIntervalMs: number;
  signal: AbortSignal;
  emit: (occurrence: Occurrence) => void;
  /**
   * Brings another identity, when the present one is used up: a lease was acquired with it without an answer, ran out, and
   * is somebody else's by now. Nothing was done under it.
   */
  renewIdentity: () => Identity;
  /** Called with the lease before the events that tell of it. */
  onLease: (lease: Lease) => void;
}

/** SQLSTATE with which acquire() refuses an instance id that was used before. */
const INSTANCE_ID_USED = '23505';
/** How long the database is given, after an abort, to answer a poll on its way and to take us out of the queue. */
const LEAVE_LIMIT_MS = 2_000;
/** How soon one looks again whether sessions that were told to end are gone. */
const ORPHAN_PAUSE_MS = 20;

/**
 * Makes sure of the lock schema, then polls until the lease is acquired. A database that cannot be reached or has no
 * place for us is tried again until the wait timeout.
 * @throws {LockWaitTimeoutError} when it was not acquired in time.
 * @throws {MigrateLockError} what the database said, explained.
 * @throws the signal's reason when it was aborted: the queue is left then, and nothing is held, if the database answers.
 */
export function waitForLease(
  calls: LockCalls,
  me: Identity,
  client: ClientDescription,
  options: WaitOptions,
): Promise<Lease> {
  return new Waiter(calls, me, client, options).wait();
}

class Waiter {
  readonly #calls: LockCalls;
  #me: Identity;
  readonly #client: ClientDescription;
  readonly #options: WaitOptions;
  readonly #report: WaitReport;
  readonly #aborted: Promise<never>;
  /** Takes our listener off the signal, which may be used for many waits. */
  readonly #over = new AbortController();
  #hasSchema = false;
  #failures = 0;
  #lastSeen: Held | undefined;
  #lastSeenAtMs = 0;
  /** The last poll, answered or not. */
  #polling: Promise<Acquired | Held> | undefined;

  constructor(calls: LockCalls, me: Identity, client: ClientDescription, options: WaitOptions) {
    this.#calls = calls;
    this.#me = me;
    this.#client = client;
    this.#options = options;
    this.#report = new WaitReport(options.emit, options.ttlMs);
    const { signal } = options;
    this.#aborted = new Promise((_, reject) => {
      const abort = (): void => reject(signal.reason as Error);
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true, signal: this.#over.signal });
    });
    this.#aborted.catch(() => undefined);
  }

  async wait(): Promise<Lease> {
    let isLast = this.#options.waitTimeoutMs === 0;
    try {
      for (;;) {
        const result = await this.#step(isLast);
        if (!('pauseMs' in result)) return result;
        await this.#pause(result.pauseMs);
        isLast = result.isLast;
      }
    } catch (error) {
      const { signal } = this.#options;
      if (!signal.aborted) throw error;
      await this.#leave();
      throw signal.reason;
    } finally {
      this.#over.abort();
    }
  }

  /** One attempt: brings the lease, or tells when the next one is due. */
  async #step(isLast: boolean): Promise<Lease | Pause> {
    let answer: Acquired | Held;
    try {
      answer = await Promise.race([this.#attempt(isLast), this.#aborted]);
    } catch (error) {
      if (this.#options.signal.aborted) throw error;
      return this.#pauseAfter(error, isLast);
    }
    if (answer.outcome === 'acquired') {
      this.#tellAcquired(answer);
      return answer.lease;
    }
    this.#lastSeen = answer;
    this.#lastSeenAtMs = performance.now();
    this.#report.held(answer);
    if (isLast) throw this.#timeout();
    const { orphans } = answer;
    if (orphans !== null && this.#calls.endsOrphans && orphans.sessions.length > orphans.denied) {
      // This poll has told them to end: that takes a moment, not a poll interval.
      return {
        pauseMs: Math.min(ORPHAN_PAUSE_MS, this.#leftMs()),
        isLast: this.#leftMs() <= ORPHAN_PAUSE_MS,
      };
    }
    return nextPause(
      {
        heldMs: answer.holder?.heldMs ?? 0,
        expiresInMs: answer.holder?.expiresInMs ?? null,
        queueLength: answer.queueLength,
      },
      { pollIntervalMs: this.#options.pollIntervalMs, leftMs: this.#leftMs(), random: Math.random },
    );
  }

  async #attempt(isLast: boolean): Promise<Acquired | Held> {
    const { ttlMs, pollIntervalMs, emit, signal } = this.#options;
    if (!this.#hasSchema) {
      const applied = await ensureSchema(this.#calls.database, this.#calls.schema);
      if (applied !== null) emit({ event: 'schema.applied', ...applied });
      this.#hasSchema = true;
    }
    signal.throwIfAborted();
    this.#polling = this.#calls.poll(this.#me, this.#client, {
      ttlMs,
      pollIntervalMs,
      isLast,
      limitMs: CALL_LIMIT_MS,
      respect: this.#respect(),
      orphans: this.#lastSeen?.orphans ?? null,
    });
    const answer = await this.#polling;
    this.#report.polls++;
    return answer;
  }

  #pauseAfter(error: unknown, wasLast: boolean): Pause {
    if (errorCode(error) === INSTANCE_ID_USED) {
      this.#me = this.#options.renewIdentity();
      return { pauseMs: 0, isLast: wasLast };
    }
    const kind = classify(error);
    if (kind !== 'unavailable' && kind !== 'contention') throw this.#explain(error);
    if (wasLast)
      throw this.#lastSeen === undefined && kind === 'unavailable' ? this.#explain(error) : this.#timeout();
    this.#failures++;
    if (kind === 'unavailable') {
      const message = error instanceof Error ? error.message : String(error);
      this.#report.unavailable(errorCode(error), message, this.#failures);
    }
    const pauseMs = backoffMs(kind === 'contention' ? 1 : this.#failures);
    const leftMs = this.#leftMs();
    return pauseMs < leftMs ? { pauseMs, isLast: false } : { pauseMs: Math.max(0, leftMs), isLast: true };
  }

  /** Holds no connection meanwhile, and tells on time what is due to be told. */
  async #pause(pauseMs: number): Promise<void> {
    this.#calls.database.disconnect();
    const endsAtMs = performance.now() + pauseMs;
    for (;;) {
      const leftMs = endsAtMs - performance.now();
      if (leftMs <= 0) return;
      const { signal } = this.#over;
      await Promise.race([
        sleep(Math.min(leftMs, this.#report.dueInMs()), undefined, { signal }),
        this.#aborted,
      ]);
      this.#report.tellWhatIsDue();
    }
  }

  async #leave(): Promise<void> {
    const { database } = this.#calls;
    if (this.#polling === undefined) {
      database.disconnect();
      return;
    }
    const endsAtMs = performance.now() + LEAVE_LIMIT_MS;
    const last = await Promise.race([
      this.#polling.catch(() => undefined),
      sleep(LEAVE_LIMIT_MS / 2, undefined, { ref: false }),
    ]);
    if (last?.outcome === 'acquired') this.#tellAcquired(last);
    else if (last === undefined) database.disconnect();
    try {
      const answer = await this.#calls.leave(this.#me, Math.max(1, endsAtMs - performance.now()));
      if (answer.outcome === 'released')
        this.#options.emit({ event: 'lock.released', heldMs: answer.heldMs });
    } catch {
      // The row of the queue ages out, and a lease that nobody uses runs out.
    }
  }

  #tellAcquired(acquired: Acquired): void {
    this.#options.onLease(acquired.lease);
    this.#report.acquired(acquired);
  }

  /** The database's clock may step forward: a lease that we saw is not over before its time has passed on ours too. */
  #respect(): number | null {
    const holder = this.#lastSeen?.holder;
    if (holder == null) return null;
    return performance.now() < this.#lastSeenAtMs + holder.expiresInMs ? holder.fencingToken : null;
  }

  #leftMs(): number {
    return this.#options.waitTimeoutMs - this.#report.waitedMs();
  }

  #explain(error: unknown): Error {
    return explain(error, this.#calls.database.description, this.#calls.schema);
  }

  #timeout(): LockWaitTimeoutError {
    const { holder = null, queueLength = 0 } = this.#lastSeen ?? {};
    this.#report.timedOut();
    return new LockWaitTimeoutError(holder, this.#report.waitedMs(), queueLength);
  }
}
