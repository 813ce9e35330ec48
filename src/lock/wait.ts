import { backoffMs } from '../db/backoff.js';
import {
  ABSENT_SCHEMA,
  CALL_TIMEOUT,
  classify,
  errorCode,
  IN_RECOVERY,
  type ErrorKind,
} from '../db/classify.js';
import { explain } from '../db/explain.js';
import { codedError } from '../db/socket.js';
import type { EventBody } from '../events/events.js';
import type { Acquired, Attempt, Held } from './answers.js';
import { CALL_LIMIT_MS, type LockCalls } from './calls.js';
import { ensureSchema } from '../schema/apply.js';
import type { ClientDescription, Identity, Lease } from './lease.js';
import { leaveQueue } from './leave-queue.js';
import { LockWaitTimeoutError } from './lock-wait-timeout-error.js';
import { orAborted } from './or-aborted.js';
import { nextPause, type Pause } from './pacing.js';
import { pauseBetweenPolls } from './pause-between-polls.js';
import { RunSettled } from './run-settled.js';
import { WaitReport } from './wait-report.js';

export interface WaitOptions {
  ttlMs: number;
  /** 0: one attempt. */
  waitTimeoutMs: number;
  pollIntervalMs: number;
  /** Whether a connection may be kept to be notified of a release, as long as it is among the few. */
  listen: boolean;
  /** For how long a failure of the run key's work counts; null: it does not, the work is tried again. */
  failureMemoryMs: number | null;
  signal: AbortSignal;
  emit: (event: EventBody) => void;
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
/** SQLSTATE: too many connections. */
const TOO_MANY_CONNECTIONS = '53300';
/** With fewer connections left the holder keeps none; queue() in sql/functions/queue.sql lets nobody listen then. */
const FEW_CONNECTIONS = 5;
/** The last attempt, made at the wait timeout, may take this long. */
const LAST_ATTEMPT_MS = 800;
/** How soon the next look is made whether sessions that were told to end are gone. */
const ORPHAN_PAUSE_MS = 20;
/** Every role can send our notification: after one that brought nothing, none is heard for so long. */
const QUIET_MS = 1_000;
/** How many of one role a release notifies: while a place is free, one asks for it at once, however long the queue is said to be. */
const PLACES = 4;

/**
 * Polls until the lease is acquired. A database that cannot be reached or has no place for us is tried again until the wait
 * timeout.
 * @throws {LockWaitTimeoutError} when it was not acquired in time.
 * @throws {RunSettled} when the work of the client's run key is done.
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

function isSilence(error: unknown): boolean {
  return [CALL_TIMEOUT, 'ETIMEDOUT', 'CONNECT_TIMEOUT'].includes(errorCode(error));
}

class Waiter {
  readonly #calls: LockCalls;
  #me: Identity;
  readonly #client: ClientDescription;
  readonly #options: WaitOptions;
  readonly #report: WaitReport;
  /** Failed attempts since the last answer, and how many of them had no answer in time. */
  #failures = 0;
  #silences = 0;
  /** The server, the database or our role has no connection to spare: we keep none. */
  #connectionsAreFew = false;
  #lastSeen: Held | undefined;
  #lastSeenAtMs = 0;
  /** A release notifies our session, as long as the connection lives. */
  #listens = false;
  /** The last poll, answered or not. */
  #polling: Promise<Attempt | null> | undefined;
  /** The last pause ended with a notification. */
  #wasNotified = false;
  /** Notifications are not heard before this moment. */
  #quietUntilMs = 0;

  constructor(calls: LockCalls, me: Identity, client: ClientDescription, options: WaitOptions) {
    this.#calls = calls;
    this.#me = me;
    this.#client = client;
    this.#options = options;
    this.#report = new WaitReport(options.emit, options.ttlMs);
  }

  async wait(): Promise<Lease> {
    let isLast = this.#options.waitTimeoutMs === 0;
    try {
      for (;;) {
        const result = await this.#step(isLast);
        if (!('pauseMs' in result)) return result;
        this.#wasNotified = await this.#pause(result.pauseMs);
        isLast = result.isLast && !this.#wasNotified;
      }
    } catch (error) {
      const { signal, emit } = this.#options;
      if (!signal.aborted) throw error;
      const acquired = (answer: Acquired): void => this.#tellAcquired(answer);
      await leaveQueue(this.#calls, this.#me, this.#polling, { acquired, emit });
      throw signal.reason;
    }
  }

  /** One attempt: brings the lease, or tells when the next one is due. */
  async #step(isLast: boolean): Promise<Lease | Pause> {
    const { signal } = this.#options;
    let answer: Attempt;
    try {
      answer = await orAborted(this.#attempt(isLast), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      return this.#pauseAfter(error, isLast);
    }
    switch (answer.outcome) {
      case 'acquired':
        this.#spareConnection(answer);
        this.#tellAcquired(answer);
        return answer.lease;
      case 'settled':
        throw new RunSettled(answer.run);
      case 'held':
        return this.#pauseAfterHeld(answer, isLast);
    }
  }

  async #attempt(isLast: boolean): Promise<Attempt> {
    const { ttlMs, pollIntervalMs, failureMemoryMs, signal } = this.#options;
    signal.throwIfAborted();
    const options = {
      ttlMs,
      pollIntervalMs,
      isLast,
      limitMs: this.#limitMs(),
      respect: this.#respect(),
      orphans: this.#lastSeen?.orphans ?? null,
      failureMemoryMs,
      listens: this.#mayListen(),
    };
    this.#calls.database.notification?.clear();
    this.#polling = this.#calls.poll(this.#me, this.#client, options);
    let answer = await this.#polling;
    if (answer === null) {
      await this.#applySchema();
      this.#polling = this.#calls.poll(this.#me, this.#client, options);
      answer = await this.#polling;
    }
    if (answer === null) throw codedError(ABSENT_SCHEMA, 'the lock schema is gone again');
    this.#failures = 0;
    this.#silences = 0;
    this.#report.polls++;
    return answer;
  }

  /** The lock schema is almost always there: only an attempt that does not find it applies or upgrades it. */
  async #applySchema(): Promise<void> {
    const { emit, signal } = this.#options;
    const applied = await ensureSchema(this.#calls.database, this.#calls.schema);
    if (applied !== null) emit({ event: 'schema.applied', ...applied });
    signal.throwIfAborted();
  }

  #pauseAfterHeld(held: Held, isLast: boolean): Pause {
    if (held.retryAfterMs !== null) return this.#pauseAfterLimit(held.retryAfterMs, isLast);
    const isFirst = this.#lastSeen === undefined;
    const token = held.holder?.fencingToken;
    if (this.#wasNotified && token !== undefined && token === this.#lastSeen?.holder?.fencingToken) {
      this.#quietUntilMs = performance.now() + QUIET_MS;
    }
    const hasBegunToListen = held.listens && !this.#listens;
    this.#lastSeen = held;
    this.#lastSeenAtMs = performance.now();
    this.#listens = held.listens;
    this.#report.held(held);
    if (isLast) throw this.#timeout();
    const { orphans, queueLength, holder, listening, connectionsLeft } = held;
    if (connectionsLeft !== null) this.#connectionsAreFew = connectionsLeft < FEW_CONNECTIONS;
    if (orphans !== null && this.#calls.endsOrphans && orphans.sessions.length > orphans.denied) {
      // This poll has told them to end: that takes a moment, not a poll interval.
      return this.#within(ORPHAN_PAUSE_MS);
    }
    // A release between the look and the LISTEN was missed. And only the first answer tells whether one may LISTEN at all.
    if (hasBegunToListen || (isFirst && this.#mayListen() && listening < PLACES)) return this.#within(0);
    const [heldMs, expiresInMs] = [holder?.heldMs ?? 0, holder?.expiresInMs ?? null];
    const connectionsAreFew = this.#connectionsAreFew;
    const outlook = { heldMs, expiresInMs, queueLength, listening, connectionsAreFew };
    const { pollIntervalMs } = this.#options;
    const looks = this.#client.runKey !== null;
    return nextPause(outlook, { pollIntervalMs, leftMs: this.#leftMs(), looks, random: Math.random });
  }

  /** Nothing was looked at. Not all who were sent away come back in the same moment. */
  #pauseAfterLimit(retryAfterMs: number, wasLast: boolean): Pause {
    this.#listens = false;
    this.#report.rateLimited(retryAfterMs);
    if (wasLast) throw this.#timeout();
    return this.#within(retryAfterMs * (1 + Math.random()));
  }

  #pauseAfter(error: unknown, wasLast: boolean): Pause {
    if (errorCode(error) === INSTANCE_ID_USED) {
      this.#me = this.#options.renewIdentity();
      return { pauseMs: 0, isLast: wasLast };
    }
    const kind = this.#kindOf(error);
    if (kind !== 'unavailable' && kind !== 'contention') throw this.#explain(error);
    if (wasLast || this.#leftMs() <= 0) {
      // A replica stays one: no timeout, and no wait, makes it the address that is needed.
      const isReplica = errorCode(error) === IN_RECOVERY;
      const saysMore = isReplica || (this.#lastSeen === undefined && kind === 'unavailable');
      throw saysMore ? this.#explain(error) : this.#timeout();
    }
    this.#failures++;
    if (kind === 'unavailable') {
      this.#listens = false;
      const message = error instanceof Error ? error.message : String(error);
      this.#report.unavailable(errorCode(error), message, this.#failures);
    }
    if (isSilence(error)) this.#silences++;
    if (errorCode(error) === TOO_MANY_CONNECTIONS) {
      // The command of the holder, and the release, need one of the places that polls take.
      this.#connectionsAreFew = true;
      return this.#within(1_000 * (1 + Math.random()));
    }
    return this.#within(backoffMs(kind === 'contention' ? 1 : this.#failures));
  }

  /** What has worked before is no mistake of the settings: a server that starts again makes its Unix socket again. */
  #kindOf(error: unknown): ErrorKind {
    const kind = classify(error);
    return kind === 'local' && this.#lastSeen !== undefined ? 'unavailable' : kind;
  }

  /** @returns whether a release was heard of before the pause was over. */
  #pause(pauseMs: number): Promise<boolean> {
    const { signal, failureMemoryMs } = this.#options;
    const { runKey } = this.#client;
    return pauseBetweenPolls(this.#calls, pauseMs, {
      listens: this.#listens,
      quietMs: this.#quietUntilMs - performance.now(),
      look: runKey === null ? undefined : () => this.#calls.look(this.#client, failureMemoryMs),
      leave: () => this.#calls.leave(this.#me, CALL_LIMIT_MS),
      report: this.#report,
      signal,
    });
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

  #mayListen(): boolean {
    const { notification, isDirect } = this.#calls.database;
    return this.#options.listen && isDirect && notification !== undefined && !this.#connectionsAreFew;
  }

  /**
   * How long one attempt may take: 5 s for each host, twice as long after each attempt that had no answer (a database may need
   * time to wake up), or `connect_timeout`. Never more than is left, but for a moment that the last attempt needs.
   */
  #limitMs(): number {
    const { hosts, connectTimeoutMs } = this.#calls.database;
    const ownMs = hosts * (connectTimeoutMs ?? CALL_LIMIT_MS * 2 ** Math.min(this.#silences, 20));
    if (this.#options.waitTimeoutMs === 0) return Math.min(ownMs, CALL_LIMIT_MS);
    return Math.max(LAST_ATTEMPT_MS, Math.min(ownMs, this.#leftMs()));
  }

  /** The command may need the connection that we would keep for the release. */
  #spareConnection({ connectionsLeft }: Acquired): void {
    const { database } = this.#calls;
    if (!database.isDirect || (connectionsLeft ?? 0) < FEW_CONNECTIONS) database.disconnect();
  }

  /** A pause, unless the wait timeout comes first. */
  #within(pauseMs: number): Pause {
    const leftMs = Math.max(0, this.#leftMs());
    return pauseMs < leftMs ? { pauseMs, isLast: false } : { pauseMs: leftMs, isLast: true };
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
    return new LockWaitTimeoutError(holder, this.#report.waitedMs(), queueLength, this.#report.handovers);
  }
}
