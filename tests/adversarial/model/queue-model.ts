import type { Caller, ModelClient, Tables } from './calls.js';
import { sha256 } from './sha256.js';

export interface ModelWaiter {
  secret: string;
  dbRole: string;
  arrivedAt: number;
  countsUntil: number;
  client: ModelClient;
}

const HOUR_US = 3600 * 1e6;

/** Who waits. Times are microseconds on the database's clock. */
export class QueueModel {
  readonly #waiters: Map<string, ModelWaiter>;

  constructor(waiters: Iterable<readonly [string, ModelWaiter]> = []) {
    this.#waiters = new Map(waiters);
  }

  copy(): QueueModel {
    return new QueueModel([...this.#waiters].map(([id, waiter]) => [id, { ...waiter }]));
  }

  /** The caller's own announcement: somebody else's secret proves nothing. */
  find({ instanceId, secret }: Caller): ModelWaiter | undefined {
    const waiter = this.#waiters.get(instanceId);
    return waiter?.secret === secret ? waiter : undefined;
  }

  /** Those who count, and the one who asks in any case. */
  lengthFor(instanceId: string, now: number): number {
    const others = this.counting(now).filter(([id]) => id !== instanceId);
    return others.length + 1;
  }

  counting(now: number): [string, ModelWaiter][] {
    return [...this.#waiters].filter(([, { countsUntil }]) => countsUntil > now);
  }

  /** Renews when half of the time for which a waiter counts is over. An id that somebody else has announced stays theirs. */
  announce(me: Caller, dbRole: string, client: ModelClient, countsForMs: number, now: number): void {
    const countsFor = Math.min(countsForMs * 1000, HOUR_US);
    const countsUntil = now + countsFor;
    const mine = this.find(me);
    if (mine !== undefined) {
      if (mine.countsUntil - now <= countsFor / 2) mine.countsUntil = countsUntil;
    } else if (!this.#waiters.has(me.instanceId)) {
      this.#waiters.set(me.instanceId, { secret: me.secret, dbRole, arrivedAt: now, countsUntil, client });
    }
  }

  /** Forgets the caller's own announcement, and those that have not been renewed for too long. @returns how many of the latter. */
  forget(me: Caller | null, now: number): number {
    if (me !== null && this.find(me) !== undefined) this.#waiters.delete(me.instanceId);
    const gone = [...this.#waiters].filter(([, waiter]) => isOver(waiter, now));
    for (const [id] of gone) this.#waiters.delete(id);
    return gone.length;
  }

  /** Any call may forget, on its way, those who do not count any more: these are gone, as `left` says. */
  adopt(left: Tables['waiters'], now: number): void {
    for (const [id, waiter] of this.#waiters)
      if (!(id in left) && isOver(waiter, now)) this.#waiters.delete(id);
  }

  table(): Tables['waiters'] {
    return Object.fromEntries(
      [...this.#waiters].map(([id, { arrivedAt, countsUntil, secret, dbRole }]) => [
        id,
        { arrivedAt, countsUntil, secretSha256: sha256(secret), dbRole },
      ]),
    );
  }
}

/** A clock that stepped back leaves times that lie further ahead than any waiter counts. */
function isOver({ countsUntil }: ModelWaiter, now: number): boolean {
  return countsUntil <= now || countsUntil > now + 2 * HOUR_US;
}
