/** Whether the database has notified us. A notification that comes while nobody waits is kept for the next one who does. */
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
