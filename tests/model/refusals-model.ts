const SECOND_US = 1e6;

/** Of what a client was refused, the history keeps one row a second and kind; a clock that stepped back begins anew. */
export class RefusalsModel {
  #toldAt = new Map<string, number>();

  copy(): RefusalsModel {
    const copy = new RefusalsModel();
    copy.#toldAt = new Map(this.#toldAt);
    return copy;
  }

  /** @returns whether this one goes into the history. */
  isTold(kind: 'release' | 'extend', now: number): boolean {
    const last = this.#toldAt.get(kind);
    if (last !== undefined && Math.abs(now - last) < SECOND_US) return false;
    this.#toldAt.set(kind, now);
    return true;
  }
}
