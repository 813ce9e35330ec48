import { untilMarkIsGone } from '../../child/marked.js';
import type { Asker, HolderAnswer } from './holder-socket.js';

/**
 * Runs inside a command take turns, so that there is one child at a time. A turn ends when the connection is closed and the
 * command's tree has ended: the guard of a killed run needs a moment to end it.
 */
export class Turns {
  /** Resolves when the last requested turn has ended. */
  #last: Promise<void> = Promise.resolve();
  #current: Asker | undefined;

  async take(asker: Asker, mark: string): Promise<void> {
    const before = this.#last;
    this.#last = before.then(() => asker.closed).then(() => untilMarkIsGone(mark));
    await before;
    this.#current = asker;
  }

  /** Sends an answer to the run that has the turn. */
  notify(answer: HolderAnswer): void {
    this.#current?.send(answer);
  }
}
