import { untilMarkIsGone } from '../../child/marked.js';
import type { Asker, HolderAnswer } from './holder-socket.js';

/**
 * Runs inside a command take turns: two at a time would be two children at once. Each has its turn until its connection closes
 * and its command is gone: one that is killed leaves its command to its guard, which takes a moment.
 */
export class Turns {
  /** Resolves when the last one that has asked is done. */
  #last: Promise<void> = Promise.resolve();
  #current: Asker | undefined;

  async take(asker: Asker, mark: string): Promise<void> {
    const before = this.#last;
    this.#last = before.then(() => asker.closed).then(() => untilMarkIsGone(mark));
    await before;
    this.#current = asker;
  }

  /** Tells the one whose turn it is. */
  tell(answer: HolderAnswer): void {
    this.#current?.tell(answer);
  }
}
