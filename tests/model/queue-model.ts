import type { ModelClient, Tables } from './calls.js';

export interface ModelWaiter {
  arrivedAt: number;
  countsUntil: number;
  client: ModelClient;
}

/** Who waits. Times are microseconds on the database's clock. */
export class QueueModel {
  readonly #waiters: Map<string, ModelWaiter>;

  constructor(waiters: Iterable<readonly [string, ModelWaiter]> = []) {
    this.#waiters = new Map(waiters);
  }

  copy(): QueueModel {
    return new QueueModel([...this.#waiters].map(([id, waiter]) => [id, { ...waiter }]));
  }

  find(instanceId: string): ModelWaiter | undefined {
    return this.#waiters.get(instanceId);
  }

  /** Those who count, and the one who asks in any case. */
  lengthFor(instanceId: string, now: number): number {
    const others = this.counting(now).filter(([id]) => id !== instanceId);
    return others.length + 1;
  }

  counting(now: number): [string, ModelWaiter][] {
    return [...this.#waiters].filter(([, { countsUntil }]) => countsUntil > now);
  }

  /** Renews when half of the time for which a waiter counts is over. */
  announce(instanceId: string, client: ModelClient, countsForMs: number, now: number): void {
    const countsFor = countsForMs * 1000;
    const countsUntil = now + countsFor;
    const mine = this.#waiters.get(instanceId);
    if (mine === undefined) this.#waiters.set(instanceId, { arrivedAt: now, countsUntil, client });
    else if (mine.countsUntil - now < countsFor / 2) mine.countsUntil = countsUntil;
  }

  /** @returns how many others are forgotten on this occasion: those that have not been seen for too long. */
  forget(instanceId: string | null, now: number): number {
    const stale = [...this.#waiters].filter(([id, waiter]) => id !== instanceId && waiter.countsUntil <= now);
    for (const [id] of stale) this.#waiters.delete(id);
    if (instanceId !== null) this.#waiters.delete(instanceId);
    return stale.length;
  }

  table(): Tables['waiters'] {
    return Object.fromEntries(
      [...this.#waiters].map(([id, { arrivedAt, countsUntil }]) => [id, { arrivedAt, countsUntil }]),
    );
  }
}
