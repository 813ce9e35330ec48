import { startCat, type Cat } from './cat.js';
import { DescriptorOutput } from './descriptor-output.js';
import { LineQueue } from './line-queue.js';
import type { RawOutput } from './output.js';

/**
 * Writes lines through a `cat` process: for a descriptor that can be written only in a blocking way. A socket cannot be
 * reopened, and a non-blocking one would be non-blocking for the child too. The `cat` is started with the
 * first line and ends with flush() or close().
 */
export class RelayOutput implements RawOutput {
  readonly #fd: number;
  readonly #queue = new LineQueue();
  #cat: Cat | null = null;
  /** Where there is no `cat`: lines that may block are better than none. */
  #direct: RawOutput | null = null;
  #flush: Promise<boolean> | null = null;
  #endFlush: ((isDone: boolean) => void) | null = null;
  /** Closed, or the reader is gone. */
  #isOver = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  writeLine(text: string): void {
    this.write(`${text}\n`);
  }

  write(text: string): void {
    if (this.#isOver) return;
    if (this.#direct !== null) {
      this.#direct.write(text);
      return;
    }
    this.#queue.add(text, '');
    if (this.#flush === null) this.#pump();
  }

  get isGone(): boolean {
    return this.#direct === null ? this.#isOver : this.#direct.isGone === true;
  }

  get hasLost(): boolean {
    return this.#direct?.hasLost === true;
  }

  /** The relay itself holds some lines that it has not written. */
  get isIdle(): boolean {
    if (this.#direct !== null) return this.#direct.isIdle;
    return this.#queue.isEmpty && (this.#cat === null || this.#cat.isReady());
  }

  flush(limitMs: number): Promise<boolean> {
    if (this.#direct !== null) return this.#direct.flush(limitMs);
    if (this.#cat === null) return Promise.resolve(true);
    this.#flush ??= this.#endCat(this.#cat, limitMs);
    return this.#flush;
  }

  close(): void {
    this.#isOver = true;
    this.#queue.clear();
    this.#direct?.close();
    this.#cat?.kill();
    this.#endFlush?.(false);
  }

  #pump(): void {
    this.#cat ??= this.#start();
    if (this.#cat === null) {
      this.#writeDirectly();
      return;
    }
    for (
      let bytes = this.#queue.peek();
      bytes !== undefined && this.#cat.isReady();
      bytes = this.#queue.peek()
    ) {
      this.#cat.write(bytes);
      this.#queue.drop();
    }
  }

  #start(): Cat | null {
    const cat: Cat | null = startCat(this.#fd, {
      onDrain: () => {
        if (this.#cat === cat && this.#flush === null) this.#pump();
      },
      onExit: () => {
        if (this.#cat !== cat) return;
        this.#cat = null;
        if (this.#endFlush !== null) this.#endFlush(true);
        else this.#giveUp();
      },
    });
    return cat;
  }

  #writeDirectly(): void {
    this.#direct = new DescriptorOutput(this.#fd, { owned: false });
    for (let bytes = this.#queue.peek(); bytes !== undefined; bytes = this.#queue.peek()) {
      this.#direct.write(bytes.toString());
      this.#queue.drop();
    }
  }

  /** After the end of its input `cat` ends when it has written everything; a hanging one is killed. */
  #endCat(cat: Cat, limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const limit = setTimeout(() => {
        cat.kill();
        this.#endFlush?.(false);
      }, limitMs);
      this.#endFlush = (isDone) => {
        clearTimeout(limit);
        this.#cat = null;
        this.#flush = null;
        this.#endFlush = null;
        resolve(isDone && !this.#isOver);
        // Lines that were added in the meantime.
        if (!this.#queue.isEmpty) this.#pump();
      };
      for (let bytes = this.#queue.peek(); bytes !== undefined; bytes = this.#queue.peek()) {
        cat.write(bytes);
        this.#queue.drop();
      }
      cat.end();
    });
  }

  /** It exited by itself, because there is no reader: another one would exit too. */
  #giveUp(): void {
    this.#isOver = true;
    this.#queue.clear();
  }
}
