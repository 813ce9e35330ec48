import type { Output, RawOutput } from '../output/output.js';
import { inForeground } from '../system/foreground.js';
import type * as Drawing from './drawing.js';
import { columnsOf } from './terminal.js';

/** What a live line needs to know of its terminal. */
export interface Terminal {
  columns: () => number;
  /** False while another process group has the terminal, and writes into its last line. */
  isOurs: () => boolean;
}

/**
 * An output to a terminal, whose last line may change in place: whatever else is written erases that first. The cursor is
 * never hidden, so that nothing has to be restored, however we end. A stalled terminal misses changes, it does not queue them.
 */
export class LiveOutput implements Output {
  readonly #output: RawOutput;
  readonly #terminal: Terminal;
  #drawing: typeof Drawing | undefined;
  #isShown = false;

  constructor(output: RawOutput, terminal: Terminal = { columns: columnsOf(2), isOurs: inForeground }) {
    this.#output = output;
    this.#terminal = terminal;
  }

  /** Loads what show() needs; before that it shows nothing. */
  async load(): Promise<void> {
    this.#drawing ??= await import('./drawing.js');
  }

  get isOurs(): boolean {
    return this.#terminal.isOurs();
  }

  /** Shows the text, which is printable, in the place of what was shown before. */
  show(text: string): void {
    if (this.#drawing === undefined || !this.#output.isIdle || !this.isOurs) return;
    const line = this.#drawing.fitted(text, this.#terminal.columns());
    this.#output.write(`${this.#isShown ? this.#drawing.ERASE : ''}${line}`);
    this.#isShown = true;
  }

  hide(): void {
    if (!this.#isShown || this.#drawing === undefined) return;
    this.#isShown = false;
    if (this.isOurs) this.#output.write(this.#drawing.ERASE);
  }

  writeLine(text: string): void {
    this.hide();
    this.#output.writeLine(text);
  }

  flush(limitMs: number): Promise<boolean> {
    this.hide();
    return this.#output.flush(limitMs);
  }

  close(): void {
    this.#output.close();
  }
}
