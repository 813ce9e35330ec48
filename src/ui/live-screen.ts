import type { Output } from '../output/output.js';

/** Lines that change in place at the end of a terminal. The cursor is never hidden, so nothing has to be restored at the end. */
export class LiveScreen {
  #shown = 0;

  constructor(
    private readonly output: Output,
    private readonly size: () => { columns: number; rows: number },
  ) {}

  /** Replaces the lines that are shown, as far as the terminal has room. They must be printable, and may be coloured. */
  async show(lines: readonly string[]): Promise<void> {
    const { eraseLines, fitted } = await import('./drawing.js');
    const { columns, rows } = this.size();
    // The cursor stands below the last line.
    const fits = Math.max(1, rows - 1);
    const room = lines.length > fits ? [...lines.slice(0, fits - 1), '…'] : lines;
    const erase = this.#shown === 0 ? '' : eraseLines(Math.min(this.#shown, fits));
    this.output.writeLine(erase + room.map((line) => fitted(line, columns)).join('\n'));
    this.#shown = room.length;
  }
}
