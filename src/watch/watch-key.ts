import { setTimeout as sleep } from 'node:timers/promises';
import { classify, errorCode } from '../db/classify.js';
import { explain } from '../db/explain.js';
import type { EventBody } from '../events/events.js';
import type { RunDescription, WatchAnswer } from '../lock/answers.js';
import { attemptLimitMs } from '../lock/attempt-limit.js';
import type { LockCalls } from '../lock/calls.js';
import { newIdentity } from '../lock/lease.js';
import { orAborted } from '../lock/or-aborted.js';
import { nextRead, type LastRead } from './pace.js';

export interface WatchKeyOptions {
  runKey: string;
  /** 0: one attempt. */
  waitTimeoutMs: number;
  /** How long a failure from before the wait counts; null: no failure ends the wait. */
  failureMemoryMs: number | null;
  signal: AbortSignal;
  emit: (event: EventBody) => void;
}

/** How a wait for a run key ends. */
export type WatchResult =
  | { outcome: 'succeeded' | 'failed'; run: RunDescription }
  /** `seen`: the last answer; null: there is no lock schema yet. */
  | { outcome: 'timeout'; seen: WatchAnswer | null };

/** SQLSTATE: no such database. The deployment that an application waits for may be what creates it. */
const NO_DATABASE = '3D000';

/**
 * Reads a run key until its work is done. Each read has a connection of its own: a watcher keeps none.
 * @throws the signal's reason; {MigrateLockError} when the database cannot be used, or not until the wait timeout.
 */
export class KeyWatcher {
  readonly #startedAtMs = performance.now();
  /** Its name among the watchers. No event and no message has it. */
  readonly #name = newIdentity().instanceId;
  #reads = 0;
  #lastRead: LastRead = { watchers: null, readMs: 0, readsAlone: 0 };
  #readAtMs = 0;
  /** undefined: no read was answered yet. */
  #seen: WatchAnswer | null | undefined;
  #timeouts = 0;
  /** What the last read failed with, and how many failed in a row. */
  #failedWith = '';
  #failures = 0;

  constructor(
    private readonly calls: LockCalls,
    private readonly options: WatchKeyOptions,
  ) {}

  /** How many reads were made. */
  get reads(): number {
    return this.#reads;
  }

  get waitedMs(): number {
    return Math.round(performance.now() - this.#startedAtMs);
  }

  async watch(): Promise<WatchResult> {
    const { waitTimeoutMs, signal } = this.options;
    for (let isLast = waitTimeoutMs === 0; ;) {
      const result = await this.#read(isLast);
      if (result !== undefined) return result;
      const pause = nextRead(this.#lastRead, this.#leftMs());
      await sleep(pause.pauseMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      isLast = pause.isLast;
    }
  }

  /** @returns undefined: the wait goes on. */
  async #read(isLast: boolean): Promise<WatchResult | undefined> {
    const { runKey, waitTimeoutMs, signal } = this.options;
    const { database } = this.calls;
    this.#reads++;
    this.#readAtMs = performance.now();
    try {
      signal.throwIfAborted();
      const limits = { timedOut: this.#timeouts, waitTimeoutMs, leftMs: this.#leftMs() };
      const reading = this.calls.watch(runKey, this.#name, isLast, attemptLimitMs(database, limits));
      const seen = await orAborted(reading, signal);
      return this.#answered(seen, isLast);
    } catch (error) {
      if (signal.aborted) throw error;
      return this.#failed(error, isLast);
    } finally {
      database.disconnect();
    }
  }

  #answered(seen: WatchAnswer | null, isLast: boolean): WatchResult | undefined {
    this.#seen = seen;
    this.#failures = 0;
    this.#timeouts = 0;
    this.#failedWith = '';
    const watchers = seen?.watchers ?? null;
    const readMs = performance.now() - this.#readAtMs;
    this.#lastRead = { watchers, readMs, readsAlone: watchers === null ? this.#lastRead.readsAlone + 1 : 0 };
    if (seen?.done === true && seen.success !== null) return { outcome: 'succeeded', run: seen.success };
    if (seen?.failure != null && this.#counts(seen.failedAgoMs)) {
      return { outcome: 'failed', run: seen.failure };
    }
    return isLast ? { outcome: 'timeout', seen } : undefined;
  }

  /** Whether a failure of this long ago ends the wait: it is remembered, or came after the wait began. */
  #counts(failedAgoMs: number | null): boolean {
    const { failureMemoryMs } = this.options;
    if (failureMemoryMs === null || failedAgoMs === null) return false;
    return failedAgoMs <= Math.max(failureMemoryMs, this.waitedMs);
  }

  #failed(error: unknown, isLast: boolean): WatchResult | undefined {
    const kind = classify(error);
    const code = errorCode(error);
    if (kind === 'absent') return this.#answered(null, isLast);
    if (kind !== 'unavailable' && kind !== 'contention' && code !== NO_DATABASE) throw this.#explain(error);
    if (isLast) {
      if (this.#seen === undefined) throw this.#explain(error);
      return { outcome: 'timeout', seen: this.#seen };
    }
    if (/TIMEOUT|TIMEDOUT/.test(code)) this.#timeouts++;
    this.#failures++;
    if (code !== this.#failedWith) {
      this.#failedWith = code;
      const message = error instanceof Error ? error.message : String(error);
      this.options.emit({ event: 'database.unavailable', code, message, attempts: this.#failures });
    }
    this.#lastRead = { watchers: null, readMs: 0, readsAlone: this.#lastRead.readsAlone + 1 };
    return undefined;
  }

  #leftMs(): number {
    return this.options.waitTimeoutMs - this.waitedMs;
  }

  #explain(error: unknown): Error {
    return explain(error, this.calls.database.description, this.calls.schema);
  }
}
