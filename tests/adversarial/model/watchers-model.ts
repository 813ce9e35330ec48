import type { Tables } from './calls.js';

const COUNTS_FOR_US = 120 * 1e6;

/** The watchers of the modelled role, by name, and until when they count. Microseconds on the database's clock. */
export class WatchersModel {
  readonly #watchers: Map<string, number>;

  constructor(watchers: Iterable<readonly [string, number]> = []) {
    this.#watchers = new Map(watchers);
  }

  copy(): WatchersModel {
    return new WatchersModel(this.#watchers);
  }

  counting(now: number): number {
    return [...this.#watchers.values()].filter((countsUntil) => countsUntil > now).length;
  }

  /** One look: answers how many there are, the caller included. */
  look(name: string, isLast: boolean, now: number): number {
    const mine = this.#watchers.get(name);
    this.#watchers.delete(name);
    const watchers = this.counting(now) + 1;
    if (mine === undefined || isLast) {
      for (const [other, countsUntil] of this.#watchers)
        if (countsUntil <= now || countsUntil > now + 2 * COUNTS_FOR_US) this.#watchers.delete(other);
    }
    if (!isLast) {
      const left = (mine ?? now) - now;
      const isFresh = left >= COUNTS_FOR_US / 2 && left <= COUNTS_FOR_US;
      this.#watchers.set(name, isFresh && mine !== undefined ? mine : now + COUNTS_FOR_US);
    }
    return watchers;
  }

  /** A look of another role may also remove watchers that do not count: these are removed, as `left` says. */
  adopt(left: Tables['watchers'], now: number): void {
    for (const [name, countsUntil] of this.#watchers)
      if (!(name in left) && (countsUntil <= now || countsUntil > now + 2 * COUNTS_FOR_US))
        this.#watchers.delete(name);
  }

  table(): Tables['watchers'] {
    return Object.fromEntries(this.#watchers);
  }
}
