/** Rung by the database's notifications. What rang while nobody listened is heard by the next one who does. */
export class Bell {
  #rung = false;
  #hear: () => void = () => undefined;

  ring(): void {
    this.#rung = true;
    this.#hear();
  }

  /** From now on only what rings later counts. */
  silence(): void {
    this.#rung = false;
  }

  /** Resolves when it has rung; for one listener at a time. */
  heard(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#rung) resolve();
      else this.#hear = resolve;
    });
  }
}
