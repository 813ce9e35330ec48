const MAX_LINES = 10_000;
const MAX_BYTES = 1_000_000;

/**
 * A limited queue of lines that could not be written yet. When it is full the oldest are dropped: the last line,
 * `run.finished`, says more than the others. A partly written line stays, because the next would be appended to it.
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

  /** The unwritten part of the first line. */
  peek(): Buffer | undefined {
    return this.#lines[0]?.subarray(this.#written);
  }

  /** This many bytes of the first line were written. */
  advance(bytes: number): void {
    const first = this.#lines[0];
    if (first === undefined) return;
    this.#written += bytes;
    if (this.#written >= first.length) this.drop();
  }

  /** Drops the first line. Returns true when a part of it had been written, so that its end is missing. */
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
