import type { HolderSummary, EventBody, SessionActivity } from '../events/events.js';
import { endSummary } from './end-summary.js';
import type { Acquired, Held } from './answers.js';

/** A change is reported at most this often, an unchanged state at least this often. */
const AT_MOST_EVERY_MS = 1_000;
const AT_LEAST_EVERY_MS = 10_000;
const UNKNOWN_HOLDER_MS = 1_000;

/** Emits the events of a wait: at once, at changes, and periodically. */
export class WaitReport {
  polls = 0;
  /** How often the lock changed hands during the wait, by its fencing tokens. */
  get handovers(): number {
    return this.#lastToken - this.#firstToken;
  }
  readonly #emit: (event: EventBody) => void;
  readonly #ttlMs: number;
  readonly #startedAtMs = performance.now();
  #reportedAtMs = -Infinity;
  #limitReportedAtMs = -Infinity;
  #reportedKey: string | undefined;
  #reportedOrphans: string | undefined;
  #firstToken = 0;
  #lastToken = 0;
  #seen: { held: Held; atMs: number } | undefined;
  /** Since when the holder is unknown. */
  #unknownSinceMs: number | undefined;
  #unavailable: { code: string; message: string; attempts: number } | undefined;

  constructor(emit: (event: EventBody) => void, ttlMs: number) {
    this.#emit = emit;
    this.#ttlMs = ttlMs;
  }

  waitedMs(): number {
    return Math.round(performance.now() - this.#startedAtMs);
  }

  held(held: Held): void {
    this.#unavailable = undefined;
    const nowMs = performance.now();
    this.#unknownSinceMs = held.holder === null ? (this.#unknownSinceMs ?? nowMs) : undefined;
    // While the lock changes hands, the holder is unknown for a moment, which is not reported.
    if (nowMs - (this.#unknownSinceMs ?? -Infinity) < UNKNOWN_HOLDER_MS) return this.reportDue();
    this.#seen = { held, atMs: nowMs };
    if (held.holder !== null) {
      this.#lastToken = held.holder.fencingToken;
      this.#firstToken ||= this.#lastToken;
    }
    this.#reportOrphans(held);
    this.reportDue();
  }

  #reportOrphans({ holder, orphans }: Held): void {
    if (holder === null || orphans === null) return;
    const sessions = orphans.sessions
      .map(({ pid, role, client, openMs }) => ({ pid, role, client, openMs: openMs && Math.max(0, openMs) }))
      .sort((a, b) => a.pid - b.pid);
    const pids = sessions.map(({ pid }) => pid).join();
    if (pids === this.#reportedOrphans) return;
    this.#reportedOrphans = pids;
    this.#emit({ event: 'lock.orphans', holder: holder.instanceId, sessions, denied: orphans.denied });
  }

  unavailable(code: string, message: string, attempts: number): void {
    this.#unavailable = { code, message, attempts };
    this.reportDue();
  }

  rateLimited(retryAfterMs: number): void {
    const nowMs = performance.now();
    if (nowMs < this.#limitReportedAtMs + AT_MOST_EVERY_MS) return;
    this.#limitReportedAtMs = nowMs;
    this.#emit({ event: 'lock.rate_limited', retryAfterMs });
  }

  acquired({ lease, takeover, auditHash, otherCommand, previousEnd }: Acquired): void {
    if (takeover !== null) this.#emit({ event: 'lock.takeover', ...takeover });
    this.#emit({
      event: 'lock.acquired',
      waitedMs: this.waitedMs(),
      polls: this.polls,
      ttlMs: this.#ttlMs,
      expiresAt: lease.expiresAt.toISOString(),
      auditHash,
      previousEnd: previousEnd && endSummary(previousEnd),
      ...(otherCommand === null ? {} : { runKeyOfOtherCommand: otherCommand }),
    });
  }

  /** `sessions`: what the holder's database sessions are doing; undefined: not known. */
  timedOut(sessions?: SessionActivity[]): void {
    const { handovers, polls } = this;
    const seen = sessions === undefined ? {} : { sessions };
    const waitedMs = this.waitedMs();
    this.#emit({ event: 'wait.timeout', ...this.#summary(), waitedMs, polls, handovers, ...seen });
  }

  /** The time until reportDue() emits an event. */
  dueInMs(): number {
    if (this.#unavailable === undefined && this.#seen === undefined) return AT_MOST_EVERY_MS;
    const everyMs = this.#key() === this.#reportedKey ? AT_LEAST_EVERY_MS : AT_MOST_EVERY_MS;
    return Math.max(0, this.#reportedAtMs + everyMs - performance.now());
  }

  reportDue(): void {
    if (this.dueInMs() > 0) return;
    if (this.#unavailable !== undefined) {
      this.#emit({ event: 'database.unavailable', ...this.#unavailable });
    } else if (this.#seen !== undefined) {
      this.#emit({ event: 'lock.waiting', ...this.#summary(), waitedMs: this.waitedMs() });
    }
    this.#reportedAtMs = performance.now();
    this.#reportedKey = this.#key();
  }

  #key(): string {
    if (this.#unavailable !== undefined) return this.#unavailable.code;
    const held = this.#seen?.held;
    return JSON.stringify([held?.holder?.instanceId, held?.queueLength]);
  }

  /** The last answer, with the time that has passed since. */
  #summary(): HolderSummary & { queueLength: number } {
    const holder = this.#seen?.held.holder ?? null;
    const sinceMs = this.#seen === undefined ? 0 : Math.round(performance.now() - this.#seen.atMs);
    return {
      holder: holder?.instanceId ?? null,
      holderHost: holder?.host ?? null,
      holderCommand: holder?.command ?? null,
      // At least 0: the database's clock may have stepped back, and an expired lease may wait for its orphans.
      heldMs: holder === null ? null : Math.max(0, holder.heldMs + sinceMs),
      expiresInMs: holder === null ? null : Math.max(0, holder.expiresInMs - sinceMs),
      queueLength: this.#seen?.held.queueLength ?? 0,
    };
  }
}
