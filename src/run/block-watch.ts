/** Watches which sessions wait for those of the command, for `--max-block`. Loaded only with it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../db/backoff.js';
import { errorCode } from '../db/classify.js';
import { explain } from '../db/explain.js';
import { OwnDatabase } from '../db/own-database.js';
import type { ConnectionConfig } from '../db/settings/connection-config.js';
import { codedError } from '../db/socket.js';
import type { EventBody } from '../events/events.js';
import type { BlockingReason } from '../events/try-fields.js';
import { readBlocking, unblock, type BlockingSession, type Wait } from '../lock/blocking.js';
import type { Identity } from '../lock/lease.js';
import { isConcurrently } from '../redact/concurrently.js';
import { redactStatement } from '../redact/statement.js';

/** Reads are at least this far apart, except for the one at which a wait becomes too long. */
const SHORTEST_INTERVAL_MS = 250;
const SHORTEST_PAUSE_MS = 50;
/** How long a cancellation may take. After that, the session is ended. */
const CANCEL_GRACE_MS = 500;
/** A session that was ended and is still there is ended again. */
const END_AGAIN_MS = 5_000;
const CALL_LIMIT_MS = 2_000;
/** For how long the end of a try waits for the answer to a cancellation that was just sent. */
const ANSWER_WITHIN_MS = 250;

export interface BlockWatchOptions {
  connection: ConnectionConfig;
  schema: string;
  me: Identity;
  maxBlockMs: number;
  emit: (event: EventBody) => void;
}

/** What was seen and done in a try of the command. */
interface Try {
  stop: AbortController;
  known: Map<number, Known>;
  /** Since when we have seen a wait whose start the server does not report. */
  seenSince: Map<string, number>;
  /** How often a session was cancelled or ended, or may have been. */
  cut: number;
  /** Resolves when no request to cancel or end a session is without an answer. */
  ending: Promise<unknown>;
}

/** What was done about a session of the lease. */
interface Known {
  cancelledAtMs?: number;
  endedAtMs?: number;
  isDenied?: boolean;
  /** The start of the statement that was reported. */
  reported?: string | null;
}

type Decision =
  | { decided: 'end'; how: 'cancel' | 'terminate'; session: BlockingSession }
  | { decided: 'report'; reason: BlockingReason }
  | { decided: 'wait' };

/**
 * It has a connection of its own, and nothing waits for it: no deadline, no release. A wait that lasts for `maxBlockMs` ends by the
 * cancellation of the statement that is in the way, or by the end of its session.
 */
export class BlockWatch {
  readonly database: OwnDatabase;
  readonly #intervalMs: number;
  /** How often a session was cancelled or ended in all tries, or may have been. */
  #cuts = 0;
  #try = newTry();
  #hasWarned = false;
  #isClosed = false;
  /** The server process of the last read. */
  #backendPid: number | undefined;

  constructor(private readonly options: BlockWatchOptions) {
    this.database = new OwnDatabase(options.connection);
    this.#intervalMs = Math.max(SHORTEST_INTERVAL_MS, options.maxBlockMs / 4);
  }

  get cuts(): number {
    return this.#cuts;
  }

  /** A try of the command begins. */
  begin(): void {
    this.#try = newTry();
    void this.#watch(this.#try);
  }

  /**
   * The try has ended. Waits a moment for an answer that is due.
   * @returns whether a session of it was cancelled or ended; a request without an answer counts.
   */
  async end(): Promise<boolean> {
    this.#try.stop.abort();
    await Promise.race([this.#try.ending, sleep(ANSWER_WITHIN_MS, undefined, { ref: false })]);
    return this.#try.cut > 0;
  }

  close(): void {
    this.#isClosed = true;
    this.#try.stop.abort();
    this.database.disconnect();
  }

  /** Never fails. */
  async #watch(current: Try): Promise<void> {
    const stop = current.stop.signal;
    const isRunning = (): boolean => !stop.aborted;
    for (let failures = 0; isRunning();) {
      let pauseMs: number;
      try {
        pauseMs = await this.#read(current);
        failures = 0;
      } catch (error) {
        pauseMs = Math.min(backoffMs(++failures), this.#intervalMs);
        if (isRunning()) this.#warn(error);
      }
      await sleep(Math.max(SHORTEST_PAUSE_MS, pauseMs), undefined, { signal: stop }).catch(() => undefined);
    }
  }

  /** @returns when to read again. */
  async #read(current: Try): Promise<number> {
    const stop = current.stop.signal;
    const { schema, me, maxBlockMs } = this.options;
    const isStopped = (): boolean => stop.aborted;
    const seen = await readBlocking(this.database, schema, CALL_LIMIT_MS);
    if (isStopped() || seen?.instanceId !== me.instanceId) return this.#intervalMs;
    if (seen.backendPid !== (this.#backendPid ??= seen.backendPid)) {
      this.#backendPid = seen.backendPid;
      this.#warn(codedError('CONNECTION_CLOSED', 'the connection to the database was lost'));
    }
    const waits = withTimes(seen.waits, current);
    let pauseMs = this.#intervalMs;
    for (const head of new Set(waits.map((wait) => wait.head))) {
      if (isStopped()) break;
      const behind = waits.filter((wait) => wait.head === head);
      const longest = behind.reduce((one, other) => (other.ms > one.ms ? other : one));
      const session = seen.sessions.find(({ pid }) => pid === head);
      const againMs =
        longest.ms < maxBlockMs
          ? maxBlockMs - longest.ms
          : await this.#unblock(session, longest, behind.length, current);
      pauseMs = Math.min(pauseMs, againMs);
    }
    return pauseMs;
  }

  /** @returns when to read again. */
  async #unblock(
    session: BlockingSession | undefined,
    wait: Wait & { ms: number },
    waiting: number,
    current: Try,
  ): Promise<number> {
    const known = current.known.get(wait.head) ?? {};
    current.known.set(wait.head, known);
    const decision = decide(session, known, wait.ms);
    if (decision.decided === 'wait') return SHORTEST_PAUSE_MS;
    if (decision.decided === 'report') {
      const queryStart = session?.queryStart ?? null;
      if (known.reported !== queryStart) this.#report(session, wait, waiting, 'reported', decision.reason);
      known.reported = queryStart;
      return this.#intervalMs;
    }
    const { schema, me, maxBlockMs } = this.options;
    const { how } = decision;
    const sentAtMs = performance.now();
    current.cut++;
    this.#cuts++;
    const request = { session: decision.session, wait, waitedMs: maxBlockMs, how };
    const ending = unblock(this.database, schema, me, request, CALL_LIMIT_MS);
    current.ending = ending.catch(() => undefined);
    const outcome = await ending;
    if (outcome === 'denied') known.isDenied = true;
    if (outcome !== 'ended') {
      current.cut--;
      this.#cuts--;
      return SHORTEST_PAUSE_MS;
    }
    if (how === 'cancel') known.cancelledAtMs = sentAtMs;
    else known.endedAtMs = sentAtMs;
    const action = how === 'cancel' ? 'cancelled' : 'terminated';
    this.#report(session, wait, waiting, action, null);
    return CANCEL_GRACE_MS;
  }

  #report(
    session: BlockingSession | undefined,
    { head, ms, object }: Wait & { ms: number },
    waiting: number,
    action: 'cancelled' | 'terminated' | 'reported',
    reason: BlockingReason | null,
  ): void {
    if (this.#isClosed) return;
    this.options.emit({
      event: 'database.blocking',
      sessionPid: head,
      role: session?.role ?? null,
      state: session?.state ?? null,
      statement: session === undefined ? null : redactStatement(session.statement),
      object,
      waiting,
      waitedMs: ms,
      action,
      reason,
    });
  }

  #warn(error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const { message } = explain(error, this.database.description, this.options.schema);
    this.options.emit({
      event: 'database.unavailable',
      code: errorCode(error),
      message: `which sessions wait for the command is not known: ${message}`,
      attempts: 1,
    });
  }
}

function newTry(): Try {
  return {
    stop: new AbortController(),
    known: new Map(),
    seenSince: new Map(),
    cut: 0,
    ending: Promise.resolve(),
  };
}

/** Before PostgreSQL 14, a wait counts from when we have seen it, for the same object in the same transaction. */
function withTimes(waits: readonly Wait[], current: Try): (Wait & { ms: number })[] {
  const nowMs = performance.now();
  const before = current.seenSince;
  current.seenSince = new Map();
  return waits.map((wait) => {
    if (wait.ms !== null) return { ...wait, ms: Math.max(0, wait.ms) };
    const key = JSON.stringify([wait.head, wait.pid, wait.transaction, wait.object]);
    const sinceMs = before.get(key) ?? nowMs;
    current.seenSince.set(key, sinceMs);
    return { ...wait, ms: Math.round(nowMs - sinceMs) };
  });
}

/** `waitedMs`: how long the longest wait for the session has lasted. */
function decide(session: BlockingSession | undefined, known: Known, waitedMs: number): Decision {
  const nowMs = performance.now();
  // It is not known whether its end would leave an INVALID index.
  if (session === undefined || session.state === 'disabled') return { decided: 'report', reason: 'hidden' };
  // That run decides about its command, and would not learn that a statement of it was cancelled.
  if (session.isInner) return { decided: 'report', reason: 'inner-run' };
  if (session.isOlder) return { decided: 'report', reason: 'pooler' };
  if (session.state === 'active') {
    const concurrently = isConcurrently(session.statement, session.isCut);
    if (concurrently !== false)
      return { decided: 'report', reason: concurrently === true ? 'concurrently' : 'hidden' };
  }
  if (known.isDenied === true) return { decided: 'report', reason: 'denied' };
  if (known.endedAtMs !== undefined && nowMs - known.endedAtMs < END_AGAIN_MS) return { decided: 'wait' };
  const cancelledMs = known.cancelledAtMs === undefined ? undefined : nowMs - known.cancelledAtMs;
  const isIdle = session.state.startsWith('idle in transaction');
  if (!isIdle && cancelledMs !== undefined && cancelledMs < CANCEL_GRACE_MS) return { decided: 'wait' };
  // A cancellation does nothing in an idle transaction; aborted, or with a savepoint, it keeps its locks. A session that began
  // to wait after the cancellation waits for another statement.
  const how = isIdle || (cancelledMs !== undefined && waitedMs >= cancelledMs) ? 'terminate' : 'cancel';
  return { decided: 'end', how, session };
}
