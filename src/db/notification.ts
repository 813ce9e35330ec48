/** Records that the database has notified us. A notification without a waiting caller is kept for the next one. */
export class Notification {
  #hasArrived = false;
  #wake: () => void = () => undefined;

  arrive(): void {
    this.#hasArrived = true;
    this.#wake();
  }

  /** Only what arrives later counts. */
  clear(): void {
    this.#hasArrived = false;
  }

  /** Resolves when it has arrived. One caller at a time. */
  arrived(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#hasArrived) resolve();
      else this.#wake = resolve;
    });
  }
}
