import type { HolderSummary, EventBody } from '../events/events.js';
import type { Acquired, Held } from './answers.js';

/** What changed is told at most this often, and what did not change at least this often. */
const AT_MOST_EVERY_MS = 1_000;
const AT_LEAST_EVERY_MS = 10_000;
const NAMELESS_MOMENT_MS = 1_000;

/** Reports a wait as it goes on: at once, then as things change, and as a sign of life when they do not. */
export class WaitReport {
  polls = 0;
  /** How often the lock changed hands while we waited, by its fencing tokens. */
  get handovers(): number {
    return this.#lastToken - this.#firstToken;
  }
  readonly #emit: (event: EventBody) => void;
  readonly #ttlMs: number;
  readonly #startedAtMs = performance.now();
  #toldAtMs = -Infinity;
  #toldLimitAtMs = -Infinity;
  #toldKey: string | undefined;
  #toldOrphans: string | undefined;
  #firstToken = 0;
  #lastToken = 0;
  #seen: { held: Held; atMs: number } | undefined;
  /** Since when no holder could be named. */
  #namelessSinceMs: number | undefined;
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
    this.#namelessSinceMs = held.holder === null ? (this.#namelessSinceMs ?? nowMs) : undefined;
    // While the lock changes hands nobody can be named, for a moment: that is not worth an event.
    if (nowMs - (this.#namelessSinceMs ?? -Infinity) < NAMELESS_MOMENT_MS) return this.tellWhatIsDue();
    this.#seen = { held, atMs: nowMs };
    if (held.holder !== null) {
      this.#lastToken = held.holder.fencingToken;
      this.#firstToken ||= this.#lastToken;
    }
    this.#tellOrphans(held);
    this.tellWhatIsDue();
  }

  #tellOrphans({ holder, orphans }: Held): void {
    if (holder === null || orphans === null) return;
    const sessions = orphans.sessions
      .map(({ pid, role, client, openMs }) => ({ pid, role, client, openMs: openMs && Math.max(0, openMs) }))
      .sort((a, b) => a.pid - b.pid);
    const pids = sessions.map(({ pid }) => pid).join();
    if (pids === this.#toldOrphans) return;
    this.#toldOrphans = pids;
    this.#emit({ event: 'lock.orphans', holder: holder.instanceId, sessions, denied: orphans.denied });
  }

  unavailable(code: string, message: string, attempts: number): void {
    this.#unavailable = { code, message, attempts };
    this.tellWhatIsDue();
  }

  /** Nothing was looked at. */
  rateLimited(retryAfterMs: number): void {
    const nowMs = performance.now();
    if (nowMs < this.#toldLimitAtMs + AT_MOST_EVERY_MS) return;
    this.#toldLimitAtMs = nowMs;
    this.#emit({ event: 'lock.rate_limited', retryAfterMs });
  }

  acquired({ lease, takeover, auditHash, otherCommand }: Acquired): void {
    if (takeover !== null) this.#emit({ event: 'lock.takeover', ...takeover });
    this.#emit({
      event: 'lock.acquired',
      waitedMs: this.waitedMs(),
      polls: this.polls,
      ttlMs: this.#ttlMs,
      expiresAt: lease.expiresAt.toISOString(),
      auditHash,
      ...(otherCommand === null ? {} : { runKeyOfOtherCommand: otherCommand }),
    });
  }

  timedOut(): void {
    const { handovers, polls } = this;
    this.#emit({ event: 'wait.timeout', ...this.#summary(), waitedMs: this.waitedMs(), polls, handovers });
  }

  /** When tellWhatIsDue() has something to tell at the earliest. */
  dueInMs(): number {
    if (this.#unavailable === undefined && this.#seen === undefined) return AT_MOST_EVERY_MS;
    const everyMs = this.#key() === this.#toldKey ? AT_LEAST_EVERY_MS : AT_MOST_EVERY_MS;
    return Math.max(0, this.#toldAtMs + everyMs - performance.now());
  }

  tellWhatIsDue(): void {
    if (this.dueInMs() > 0) return;
    if (this.#unavailable !== undefined) {
      this.#emit({ event: 'database.unavailable', ...this.#unavailable });
    } else if (this.#seen !== undefined) {
      this.#emit({ event: 'lock.waiting', ...this.#summary(), waitedMs: this.waitedMs() });
    }
    this.#toldAtMs = performance.now();
    this.#toldKey = this.#key();
  }

  #key(): string {
    if (this.#unavailable !== undefined) return this.#unavailable.code;
    const held = this.#seen?.held;
    return JSON.stringify([held?.holder?.instanceId, held?.queueLength]);
  }

  /** As last seen, with the time that has passed since. */
  #summary(): HolderSummary & { queueLength: number } {
    const holder = this.#seen?.held.holder ?? null;
    const sinceMs = this.#seen === undefined ? 0 : Math.round(performance.now() - this.#seen.atMs);
    return {
      holder: holder?.instanceId ?? null,
      holderHost: holder?.host ?? null,
      holderCommand: holder?.command ?? null,
      // Not below zero: the database's clock may have stepped back, and an expired lease may wait for its orphans.
      heldMs: holder === null ? null : Math.max(0, holder.heldMs + sinceMs),
      expiresInMs: holder === null ? null : Math.max(0, holder.expiresInMs - sinceMs),
      queueLength: this.#seen?.held.queueLength ?? 0,
    };
  }
}
