import { untilMarkIsGone } from '../../child/marked.js';
import type { Requester, HolderAnswer } from './holder-socket.js';

/**
 * Runs inside a command take turns, so that there is one child at a time. A turn ends when the connection is closed and the
 * command's tree has ended: the guard of a killed run needs a moment to end it.
 */
export class Turns {
  /** Resolves when the last requested turn has ended. */
  #last: Promise<void> = Promise.resolve();
  #current: Requester | undefined;

  async take(requester: Requester, mark: string): Promise<void> {
    const before = this.#last;
    this.#last = before.then(() => requester.closed).then(() => untilMarkIsGone(mark));
    await before;
    this.#current = requester;
  }

  /** Sends an answer to the run that has the turn. */
  notify(answer: HolderAnswer): void {
    this.#current?.send(answer);
  }
}
