/**
 * Records that the database has notified this session. A notification without a waiting caller is kept for the next
 * one.
 */
export class Notification {
  #hasArrived = false;
  #wake: () => void = () => undefined;

  arrive(): void {
    this.#hasArrived = true;
    this.#wake();
  }

  /** Only later notifications count. */
  clear(): void {
    this.#hasArrived = false;
  }

  /** Resolves when a notification has arrived. One caller at a time. */
  arrived(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#hasArrived) resolve();
      else this.#wake = resolve;
    });
  }
}
