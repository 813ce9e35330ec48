import { childTimes, marginMs } from '../lock/lease-times.js';

/** The times before a lease's end, on performance.now()'s clock; see childTimes(). */
export interface Times {
  /** SIGTERM to the command. */
  termAtMs: number;
  /** SIGKILL to what is left of it. */
  killAtMs: number;
  /** SIGKILL by the guard, if the holder has not sent it. */
  guardKillAtMs: number;
  leaseEndsAtMs: number;
  /** The length of the whole lease, with its extensions. */
  leaseLastsMs: number;
}

/** Why the command's times changed. */
export type ChangeReason = 'extended' | 'resumed';
type Subscriber = (times: Times, why: ChangeReason) => void;

/** The times for a command under a lease of this run. */
export function timesUnder(
  leaseEndsAtMs: number,
  leaseLastsMs: number,
  { ttlMs, killGraceMs }: { ttlMs: number; killGraceMs: number },
): Times {
  const { termBeforeEndMs, killBeforeEndMs } = childTimes(ttlMs, killGraceMs);
  return {
    termAtMs: leaseEndsAtMs - termBeforeEndMs,
    killAtMs: leaseEndsAtMs - killBeforeEndMs,
    guardKillAtMs: leaseEndsAtMs - marginMs(ttlMs),
    leaseEndsAtMs,
    leaseLastsMs,
  };
}

/**
 * When the command is ended, and when its lease ends. Child, guard and warning subscribe. An extension moves all times; a
 * lease that is kept for processes that could not be ended moves only the lease's end.
 */
export class Deadline {
  #times: Times;
  #isPassed = false;
  readonly #subscribers = new Set<Subscriber>();

  constructor(times: Times) {
    this.#times = times;
  }

  get times(): Readonly<Times> {
    return this.#times;
  }

  /** The command's times cannot be extended any more. */
  get isPassed(): boolean {
    return this.#isPassed || performance.now() >= this.#times.termAtMs;
  }

  /** `onMoved` is called at every change of the command's times. @returns a function that ends this. */
  subscribe(onMoved: Subscriber): () => void {
    this.#subscribers.add(onMoved);
    return () => this.#subscribers.delete(onMoved);
  }

  /** The command has exited or is being ended. */
  pass(): void {
    this.#isPassed = true;
  }

  /** The lease was extended. @returns false: too late, the times do not change. */
  extend(times: Times): boolean {
    if (this.#isPassed) return false;
    this.#move(times, 'extended');
    return true;
  }

  /** The lease was extended for processes that could not be ended: the command's times do not change. */
  keepLease(leaseEndsAtMs: number): void {
    this.#times = { ...this.#times, leaseEndsAtMs };
  }

  /** The machine was suspended: the lease went on, our clock stopped. What has become due is done at once. */
  resumeAfter(suspendedMs: number): void {
    const { termAtMs, killAtMs, guardKillAtMs, leaseEndsAtMs } = this.#times;
    this.#move(
      {
        ...this.#times,
        termAtMs: termAtMs - suspendedMs,
        killAtMs: killAtMs - suspendedMs,
        guardKillAtMs: guardKillAtMs - suspendedMs,
        leaseEndsAtMs: leaseEndsAtMs - suspendedMs,
      },
      'resumed',
    );
  }

  #move(times: Times, why: ChangeReason): void {
    this.#times = times;
    for (const onMoved of this.#subscribers) onMoved(times, why);
  }
}
