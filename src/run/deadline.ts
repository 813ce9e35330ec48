import { childTimes, marginMs } from '../lock/lease-times.js';

/** The moments at the end of a lease, on performance.now()'s clock; see childTimes(). */
export interface Times {
  /** SIGTERM to the command. */
  termAtMs: number;
  /** SIGKILL to what is left of it. */
  killAtMs: number;
  /** SIGKILL by the guard, should the holder not act. */
  guardKillAtMs: number;
  leaseEndsAtMs: number;
}

/** Why the command's times moved. */
export type Move = 'extended' | 'resumed';
type Subscriber = (times: Times, why: Move) => void;

/** The times under a lease of this run. */
export function timesUnder(leaseEndsAtMs: number, ttlMs: number, killGraceMs: number): Times {
  const { termBeforeEndMs, killBeforeEndMs } = childTimes(ttlMs, killGraceMs);
  return {
    termAtMs: leaseEndsAtMs - termBeforeEndMs,
    killAtMs: leaseEndsAtMs - killBeforeEndMs,
    guardKillAtMs: leaseEndsAtMs - marginMs(ttlMs),
    leaseEndsAtMs,
  };
}

/**
 * When the command must be gone, and when its lease ends. All that act on these times subscribe. An extension moves all of
 * them; a lease that is kept for processes that could not be ended moves only its own end.
 */
export class Deadline {
  #times: Times;
  #isPassed = false;
  readonly #subscribers: Subscriber[] = [];

  constructor(times: Times) {
    this.#times = times;
  }

  get times(): Readonly<Times> {
    return this.#times;
  }

  /** No extension moves the command's times any more. */
  get isPassed(): boolean {
    return this.#isPassed || performance.now() >= this.#times.termAtMs;
  }

  /** Called at every change of the command's times. */
  subscribe(onMoved: Subscriber): void {
    this.#subscribers.push(onMoved);
  }

  /** The command has ended or is being ended. */
  pass(): void {
    this.#isPassed = true;
  }

  /** The lease was extended. @returns false: too late, nothing moves. */
  extend(times: Times): boolean {
    if (this.#isPassed) return false;
    this.#move(times, 'extended');
    return true;
  }

  /** The lease was extended for processes that could not be ended: what the command may do does not change. */
  keepLease(leaseEndsAtMs: number): void {
    this.#times = { ...this.#times, leaseEndsAtMs };
  }

  /** The machine was suspended: that counted for the lease, but not on our clock. What is due then is done at once. */
  resumeAfter(suspendedMs: number): void {
    const { termAtMs, killAtMs, guardKillAtMs, leaseEndsAtMs } = this.#times;
    this.#move(
      {
        termAtMs: termAtMs - suspendedMs,
        killAtMs: killAtMs - suspendedMs,
        guardKillAtMs: guardKillAtMs - suspendedMs,
        leaseEndsAtMs: leaseEndsAtMs - suspendedMs,
      },
      'resumed',
    );
  }

  #move(times: Times, why: Move): void {
    this.#times = times;
    for (const onMoved of this.#subscribers) onMoved(times, why);
  }
}
