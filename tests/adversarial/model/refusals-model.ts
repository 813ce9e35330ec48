const SECOND_US = 1e6;

/** The kinds of refusals in the history, by their event. */
const KINDS: Record<string, string> = {
  'lock.release_failed': 'release',
  'lease.extend_refused': 'extend',
  'lock.rate_limited': 'attempt',
};

export function isRefusal(event: string): boolean {
  return event in KINDS;
}

/**
 * The history keeps one refusal a second of each client and kind; a clock that stepped back does not suppress others.
 */
export class RefusalsModel {
  #toldAt = new Map<string, number>();

  copy(): RefusalsModel {
    const copy = new RefusalsModel();
    copy.#toldAt = new Map(this.#toldAt);
    return copy;
  }

  /** @returns whether this one goes into the history. */
  isTold(event: string, dbRole: string, now: number): boolean {
    const client = `${KINDS[event] ?? event} ${dbRole}`;
    const last = this.#toldAt.get(client);
    if (last !== undefined && Math.abs(now - last) < SECOND_US) return false;
    this.#toldAt.set(client, now);
    return true;
  }
}
