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

/** The waiters. Times are microseconds on the database's clock. */
export class QueueModel {
  readonly #waiters: Map<string, ModelWaiter>;

  constructor(waiters: Iterable<readonly [string, ModelWaiter]> = []) {
    this.#waiters = new Map(waiters);
  }

  copy(): QueueModel {
    return new QueueModel([...this.#waiters].map(([id, waiter]) => [id, { ...waiter }]));
  }

  /** The caller's own announcement: another client's secret proves nothing. */
  find({ instanceId, secret }: Caller): ModelWaiter | undefined {
    const waiter = this.#waiters.get(instanceId);
    return waiter?.secret === secret ? waiter : undefined;
  }

  /** Those who count, and always the caller. */
  lengthFor(instanceId: string, now: number): number {
    const others = this.counting(now).filter(([id]) => id !== instanceId);
    return others.length + 1;
  }

  counting(now: number): [string, ModelWaiter][] {
    return [...this.#waiters].filter(([, { countsUntil }]) => countsUntil > now);
  }

  /** Renews after half of the time for which a waiter counts. An id that another client has announced stays its own. */
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

  /**
   * Removes the caller's announcement, and those that were not renewed in time.
   * @returns how many of the latter.
   */
  forget(me: Caller | null, now: number): number {
    if (me !== null && this.find(me) !== undefined) this.#waiters.delete(me.instanceId);
    const gone = [...this.#waiters].filter(([, waiter]) => isOver(waiter, now));
    for (const [id] of gone) this.#waiters.delete(id);
    return gone.length;
  }

  /** Any call may also remove waiters that do not count any more: these are removed, as `left` says. */
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

/** A clock that stepped back leaves times that are further ahead than any waiter counts. */
function isOver({ countsUntil }: ModelWaiter, now: number): boolean {
  return countsUntil <= now || countsUntil > now + 2 * HOUR_US;
}
