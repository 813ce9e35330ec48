import { backoffMs } from '../db/backoff.js';
import {
  ABSENT_FUNCTION,
  CALL_TIMEOUT,
  classify,
  errorCode,
  IN_RECOVERY,
  type ErrorKind,
} from '../db/classify.js';
import { explain } from '../db/explain.js';
import { codedError } from '../db/socket.js';
import type { EventBody, SessionActivity } from '../events/events.js';
import { attemptLimitMs } from './attempt-limit.js';
import type { Acquired, Attempt, Held, RunDescription, UncleanEnd } from './answers.js';
import { CALL_LIMIT_MS, type LockCalls } from './calls.js';
import { ensureSchema } from '../schema/apply.js';
import type { ClientDescription, Identity, Lease } from './lease.js';
import { leaveQueue } from './leave-queue.js';
import { LockWaitTimeoutError } from './lock-wait-timeout-error.js';
import { orAborted } from './or-aborted.js';
import { FEW_CONNECTIONS, nextPause, type Pause } from './pacing.js';
import { pauseBetweenPolls } from './pause-between-polls.js';
import { orphanPauseMs } from './until-sessions-end.js';
import { untilStartsEnd } from './until-starts-end.js';
import { WaitReport } from './wait-report.js';

export interface WaitOptions {
  ttlMs: number;
  /** How much of the lease the work has before it is ended; undefined: all. */
  workMs?: number;
  /** 0: one attempt. */
  waitTimeoutMs: number;
  pollIntervalMs: number;
  /** Whether a connection may be kept to be notified of a release. */
  listen: boolean;
  /** How long a failure of the run key's work counts; null: the work is tried again. */
  failureMemoryMs: number | null;
  signal: AbortSignal;
  emit: (event: EventBody) => void;
  /**
   * Returns another identity when the present one was used: by a lease that was acquired without an answer, has expired and
   * was taken over. Nothing was run under it.
   */
  renewIdentity: () => Identity;
  /** Called with the lease before its events are emitted. */
  onLease: (lease: Lease) => void;
  /** Finds out what the holder's database sessions are doing, for `wait.timeout`; never fails. undefined: not known. */
  readHolderSessions?: (held: Held) => Promise<SessionActivity[] | undefined>;
}

/** SQLSTATE with which acquire() refuses an instance id that was used before. */
const INSTANCE_ID_USED = '23505';
/** SQLSTATE: too many connections. */
const TOO_MANY_CONNECTIONS = '53300';
/** Every role can send our notification. After one without a release, notifications are ignored for this long. */
const QUIET_MS = 1_000;
/** The number of waiters of one role that a release notifies. While there are fewer, a waiter polls again at once to listen. */
const PLACES = 4;

export interface Acquisition {
  lease: Lease;
  /** The unclean end of the last lease of our command; null: it was clean or unknown. */
  previousEnd: UncleanEnd | null;
  /** We may use another connection while the command runs: it is a direct one, and many are left. */
  connectionsAbound: boolean;
}

/** How a wait ends. */
export type WaitResult =
  | ({ outcome: 'acquired' } & Acquisition)
  /** The work of the client's run key is done, or has just failed. */
  | { outcome: 'settled'; run: RunDescription }
  | { outcome: 'timed-out'; error: LockWaitTimeoutError }
  /** The signal was aborted. If the database answered, the queue is left and no lease is held. */
  | { outcome: 'interrupted'; reason: unknown };

/**
 * Polls until the lease is acquired. While the database is unavailable, it retries until the wait timeout.
 * @throws {MigrateLockError} the error of the database, explained.
 */
export function waitForLease(
  calls: LockCalls,
  me: Identity,
  client: ClientDescription,
  options: WaitOptions,
): Promise<WaitResult> {
  return new Waiter(calls, me, client, options).wait();
}

function isTimeout(error: unknown): boolean {
  return [CALL_TIMEOUT, 'ETIMEDOUT', 'CONNECT_TIMEOUT'].includes(errorCode(error));
}

class Waiter {
  readonly #calls: LockCalls;
  #me: Identity;
  readonly #client: ClientDescription;
  readonly #options: WaitOptions;
  readonly #report: WaitReport;
  /** Failed attempts since the last answer, and how many of them timed out. */
  #failures = 0;
  #timeouts = 0;
  /** Few connections are left for the server, the database or our role: we keep none. */
  #connectionsAreFew = false;
  #lastSeen: Held | undefined;
  #lastSeenAtMs = 0;
  /** A release notifies our session, as long as the connection is open. */
  #listens = false;
  /** The last poll, answered or not. */
  #polling: Promise<Attempt | null> | undefined;
  /** The number of polls that waited for terminated sessions. */
  #orphanPolls = 0;
  /** The last pause ended with a notification. */
  #wasNotified = false;
  /** Notifications are ignored until then. */
  #quietUntilMs = 0;

  constructor(calls: LockCalls, me: Identity, client: ClientDescription, options: WaitOptions) {
    this.#calls = calls;
    this.#me = me;
    this.#client = client;
    this.#options = options;
    this.#report = new WaitReport(options.emit, options.ttlMs);
  }

  async wait(): Promise<WaitResult> {
    let isLast = this.#options.waitTimeoutMs === 0;
    try {
      for (;;) {
        const result = await this.#step(isLast);
        if ('outcome' in result) return result;
        const ended = await this.#pause(result.pauseMs);
        if (typeof ended === 'object') return { outcome: 'settled', run: ended };
        this.#wasNotified = ended === 'notified';
        isLast = result.isLast && !this.#wasNotified;
      }
    } catch (error) {
      const { signal, emit } = this.#options;
      if (!signal.aborted) throw error;
      const acquired = (answer: Acquired): void => this.#reportAcquired(answer);
      await leaveQueue(this.#calls, this.#me, this.#polling, { acquired, emit });
      return { outcome: 'interrupted', reason: signal.reason };
    }
  }

  /** One attempt: ends the wait, or says when the next attempt is due. */
  async #step(isLast: boolean): Promise<WaitResult | Pause> {
    const { signal } = this.#options;
    let answer: Attempt;
    try {
      answer = await orAborted(this.#attempt(isLast), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      return this.#afterFailure(error, isLast);
    }
    switch (answer.outcome) {
      case 'acquired':
        this.#reportAcquired(answer);
        return { ...answer, connectionsAbound: await this.#keepConnection(answer) };
      case 'settled':
        return { outcome: 'settled', run: answer.run };
      case 'held':
        return this.#afterHeld(answer, isLast);
    }
  }

  async #attempt(isLast: boolean): Promise<Attempt> {
    const { ttlMs, pollIntervalMs, failureMemoryMs, signal } = this.#options;
    signal.throwIfAborted();
    const options = {
      ttlMs,
      pollIntervalMs,
      isLast,
      limitMs: attemptLimitMs(this.#calls.database, {
        timedOut: this.#timeouts,
        waitTimeoutMs: this.#options.waitTimeoutMs,
        leftMs: this.#leftMs(),
      }),
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
    if (answer === null) throw codedError(ABSENT_FUNCTION, 'poll() is not there, or not as it was created');
    this.#failures = 0;
    this.#timeouts = 0;
    this.#report.polls++;
    return answer;
  }

  /** The lock schema usually exists, so only an attempt that does not find it applies or upgrades it. */
  async #applySchema(): Promise<void> {
    const { emit, signal } = this.#options;
    const applied = await ensureSchema(this.#calls.database, this.#calls.schema);
    if (applied !== null) emit({ event: 'schema.applied', ...applied });
    signal.throwIfAborted();
  }

  async #afterHeld(held: Held, isLast: boolean): Promise<WaitResult | Pause> {
    if (held.retryAfterMs !== null) return this.#afterRateLimit(held.retryAfterMs, isLast);
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
    if (isLast) {
      const { readHolderSessions, signal } = this.#options;
      return this.#timedOut(
        await orAborted(readHolderSessions?.(held) ?? Promise.resolve(undefined), signal),
      );
    }
    const { orphans, queueLength, holder, listening, connectionsLeft } = held;
    if (connectionsLeft !== null) this.#connectionsAreFew = connectionsLeft < FEW_CONNECTIONS;
    if (orphans !== null && this.#calls.endsOrphans && orphans.sessions.length > orphans.denied) {
      // This poll has terminated them, which takes less than a poll interval.
      return this.#within(orphanPauseMs(++this.#orphanPolls));
    }
    // A release between the read and the LISTEN was missed. And only the first answer shows whether LISTEN is possible.
    if (hasBegunToListen || (isFirst && this.#mayListen() && listening < PLACES)) return this.#within(0);
    const [heldMs, expiresInMs] = [holder?.heldMs ?? 0, holder?.expiresInMs ?? null];
    const connectionsAreFew = this.#connectionsAreFew;
    const lastPoll = { heldMs, expiresInMs, queueLength, listening, connectionsAreFew };
    const { pollIntervalMs } = this.#options;
    const checksRunKey = this.#client.runKey !== null;
    return nextPause(lastPoll, { pollIntervalMs, leftMs: this.#leftMs(), checksRunKey, random: Math.random });
  }

  /** The pause is randomized, so that rate-limited waiters do not all poll again at the same moment. */
  #afterRateLimit(retryAfterMs: number, wasLast: boolean): WaitResult | Pause {
    this.#listens = false;
    this.#report.rateLimited(retryAfterMs);
    if (wasLast) return this.#timedOut();
    return this.#within(retryAfterMs * (1 + Math.random()));
  }

  #afterFailure(error: unknown, wasLast: boolean): WaitResult | Pause {
    if (errorCode(error) === INSTANCE_ID_USED) {
      this.#me = this.#options.renewIdentity();
      return { pauseMs: 0, isLast: wasLast };
    }
    const kind = this.#kindOf(error);
    if (kind !== 'unavailable' && kind !== 'contention') throw this.#explain(error);
    if (wasLast || this.#leftMs() <= 0) {
      // A replica is reported as such: a longer wait does not make it writable.
      const isReplica = errorCode(error) === IN_RECOVERY;
      const saysMore = isReplica || (this.#lastSeen === undefined && kind === 'unavailable');
      if (saysMore) throw this.#explain(error);
      return this.#timedOut();
    }
    this.#failures++;
    if (kind === 'unavailable') {
      this.#listens = false;
      const message = error instanceof Error ? error.message : String(error);
      this.#report.unavailable(errorCode(error), message, this.#failures);
    }
    if (isTimeout(error)) this.#timeouts++;
    if (errorCode(error) === TOO_MANY_CONNECTIONS) {
      // The command and the release need one of the connections that polls use. Many polls a second would leave none.
      this.#connectionsAreFew = true;
      return this.#within(1_000 * 2 ** Math.min(this.#failures - 1, 2) * (1 + Math.random()));
    }
    return this.#within(backoffMs(kind === 'contention' ? 1 : this.#failures));
  }

  /** After a first answer the settings are known to be right: a missing Unix socket means that the server restarts. */
  #kindOf(error: unknown): ErrorKind {
    const kind = classify(error);
    return kind === 'local' && this.#lastSeen !== undefined ? 'unavailable' : kind;
  }

  #pause(pauseMs: number): ReturnType<typeof pauseBetweenPolls> {
    const { signal, failureMemoryMs } = this.#options;
    const { runKey } = this.#client;
    return pauseBetweenPolls(this.#calls, pauseMs, {
      listens: this.#listens,
      quietMs: this.#quietUntilMs - performance.now(),
      readRunKey: runKey === null ? undefined : () => this.#calls.readRunKey(this.#client, failureMemoryMs),
      leave: () => this.#calls.leave(this.#me, CALL_LIMIT_MS),
      report: this.#report,
      signal,
    });
  }

  #reportAcquired(acquired: Acquired): void {
    this.#options.onLease(acquired.lease);
    this.#report.acquired(acquired);
  }

  /** The database's clock may step forward: a lease that we saw is not expired before its time has passed on our clock. */
  #respect(): number | null {
    const holder = this.#lastSeen?.holder;
    if (holder == null) return null;
    return performance.now() < this.#lastSeenAtMs + holder.expiresInMs ? holder.fencingToken : null;
  }

  #mayListen(): boolean {
    const { notification, isDirect } = this.#calls.database;
    return this.#options.listen && isDirect && notification !== undefined && !this.#connectionsAreFew;
  }

  /** @returns whether the connection is kept for the release. It is closed if the command may need it. */
  async #keepConnection({ connectionsLeft }: Acquired): Promise<boolean> {
    const { database } = this.#calls;
    if (database.isDirect && connectionsLeft !== null) {
      if (connectionsLeft >= FEW_CONNECTIONS) return true;
      const { ttlMs, workMs = ttlMs, signal } = this.#options;
      // A run that has waited is not one of many that start at the same moment.
      if (this.#lastSeen === undefined) await untilStartsEnd(database, { workMs, connectionsLeft, signal });
    }
    database.disconnect();
    return false;
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

  #timedOut(sessions?: SessionActivity[]): WaitResult {
    const { holder = null, queueLength = 0 } = this.#lastSeen ?? {};
    const { handovers } = this.#report;
    this.#report.timedOut(sessions);
    const error = new LockWaitTimeoutError(holder, this.#report.waitedMs(), queueLength, handovers);
    return { outcome: 'timed-out', error };
  }
}
