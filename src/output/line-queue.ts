const MAX_LINES = 10_000;
const MAX_BYTES = 1_000_000;

/**
 * Lines that could not be written yet, bounded. When it is full the oldest go: the last line, `run.finished`, says more
 * than any before it. A line of which a part is written already stays, or the next would be glued to its beginning.
 */
export class LineQueue {
  #lines: Buffer[] = [];
  #bytes = 0;
  /** How much of the first line is written. */
  #written = 0;

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  add(line: string, end = '\n'): void {
    const bytes = Buffer.from(line + end);
    this.#lines.push(bytes);
    this.#bytes += bytes.length;
    const firstToDrop = this.#written > 0 ? 1 : 0;
    while (
      (this.#lines.length > MAX_LINES || this.#bytes > MAX_BYTES) &&
      this.#lines.length > firstToDrop + 1
    ) {
      this.#bytes -= this.#lines.splice(firstToDrop, 1)[0]?.length ?? 0;
    }
  }

  /** What is left of the first line. */
  peek(): Buffer | undefined {
    return this.#lines[0]?.subarray(this.#written);
  }

  /** That many bytes of the first line are out. */
  advance(bytes: number): void {
    const first = this.#lines[0];
    if (first === undefined) return;
    this.#written += bytes;
    if (this.#written >= first.length) this.drop();
  }

  /** Gives up the first line. Returns true when a part of it had been written, so that its end is missing. */
  drop(): boolean {
    const first = this.#lines.shift();
    const isCut = first !== undefined && this.#written > 0 && this.#written < first.length;
    this.#bytes -= first?.length ?? 0;
    this.#written = 0;
    return isCut;
  }

  clear(): void {
    this.#lines = [];
    this.#bytes = 0;
    this.#written = 0;
  }
}
