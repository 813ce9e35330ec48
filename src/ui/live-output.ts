import type { Output, RawOutput } from '../output/output.js';
import { inForeground } from '../system/foreground.js';
import type * as Drawing from './drawing.js';
import { columnsOf } from './terminal.js';

/** The terminal of a live line. */
export interface LiveTerminal {
  columns: () => number;
  /** False while another process group is in the foreground. */
  isOurs: () => boolean;
}

/**
 * An output to a terminal whose last line may change in place. Other output erases that line first. The cursor is never
 * hidden, so that nothing has to be restored at the exit. A stalled terminal misses changes; they are not queued.
 */
export class LiveOutput implements Output {
  readonly #output: RawOutput;
  readonly #terminal: LiveTerminal;
  #drawing: typeof Drawing | undefined;
  #isShown = false;

  constructor(output: RawOutput, terminal: LiveTerminal = { columns: columnsOf(2), isOurs: inForeground }) {
    this.#output = output;
    this.#terminal = terminal;
  }

  /** Loads the module that show() needs. */
  async load(): Promise<void> {
    this.#drawing ??= await import('./drawing.js');
  }

  get isOurs(): boolean {
    return this.#terminal.isOurs();
  }

  /** Replaces the text that is shown; it must be printable. */
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

  get isGone(): boolean {
    return this.#output.isGone === true;
  }

  get hasLost(): boolean {
    return this.#output.hasLost === true;
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
