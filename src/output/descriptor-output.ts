import { closeSync, writeSync } from 'node:fs';
import { LineQueue } from './line-queue.js';
import type { RawOutput } from './output.js';

/** The pause before a write is retried. */
const RETRY_MS = 20;

/**
 * Writes lines to a descriptor that does not block: a non-blocking one, a file, or a device such as /dev/null.
 * Lines that a stalled reader does not take wait in a queue. Lines that cannot be written (reader gone, disk full) are
 * lost.
 */
export class DescriptorOutput implements RawOutput {
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #queue = new LineQueue();
  #retry: NodeJS.Timeout | null = null;
  /** Called when the queue is empty. */
  #waiting: (() => void)[] = [];
  /** The last line was cut short, and its end is lost. */
  #isCut = false;
  #closed = false;
  #isGone = false;
  #hasLost = false;

  /** `owned`: the descriptor has no other user, and close() closes it. */
  constructor(fd: number, { owned }: { owned: boolean }) {
    this.#fd = fd;
    this.#owned = owned;
  }

  writeLine(text: string): void {
    this.#add(text, '\n');
  }

  write(text: string): void {
    this.#add(text, '');
  }

  get isIdle(): boolean {
    return this.#queue.isEmpty;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  get hasLost(): boolean {
    return this.#hasLost;
  }

  flush(limitMs: number): Promise<boolean> {
    if (this.#queue.isEmpty) return Promise.resolve(true);
    return new Promise((resolve) => {
      // Not unref'd, as the retries are: the caller wants to wait.
      const limit = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== done);
        resolve(false);
      }, limitMs);
      const done = (): void => {
        clearTimeout(limit);
        resolve(this.#queue.isEmpty && !this.#closed);
      };
      this.#waiting.push(done);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tellWaiting();
    this.#queue.clear();
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (!this.#owned) return;
    try {
      closeSync(this.#fd);
    } catch {
      // A deferred write error (NFS, quota): these lines are lost, as others that cannot be written.
    }
  }

  #add(text: string, end: string): void {
    if (this.#closed) return;
    this.#queue.add(text, end);
    if (this.#retry === null) this.#drain();
  }

  #drain(): void {
    this.#retry = null;
    for (let bytes = this.#queue.peek(); bytes !== undefined; bytes = this.#queue.peek()) {
      try {
        if (this.#isCut) {
          writeSync(this.#fd, '\n');
          this.#isCut = false;
        }
        // One call a line: a pipe takes up to 4096 bytes whole or not at all, also with the child writing to it.
        this.#queue.advance(writeSync(this.#fd, bytes));
      } catch (error) {
        if (isBusy(error)) {
          this.#retryLater();
          return;
        }
        // EIO: the terminal was closed.
        const isGone = hasCode(error, 'EPIPE', 'EIO');
        this.#isGone ||= isGone;
        this.#hasLost ||= !isGone;
        this.#isCut = this.#queue.drop() || this.#isCut;
      }
    }
    this.#tellWaiting();
  }

  #retryLater(): void {
    this.#retry = setTimeout(() => {
      this.#drain();
    }, RETRY_MS);
    this.#retry.unref();
  }

  #tellWaiting(): void {
    for (const done of this.#waiting.splice(0)) done();
  }
}

function isBusy(error: unknown): boolean {
  return hasCode(error, 'EAGAIN', 'EINTR');
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
