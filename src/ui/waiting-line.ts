import type { EventName, EventOf, MigrateLockEvent } from '../events/events.js';
import { describeWait } from './messages.js';
import type { LiveOutput } from './live-output.js';
import { printable } from './printable.js';

const EVERY_MS = 1_000;

/** Events that do not end a wait. */
const ASIDE: ReadonlySet<EventName> = new Set([
  'schema.applied',
  'lock.orphans',
  'guard.restarted',
  'guard.absent',
  'socket.absent',
]);

type Waiting = MigrateLockEvent & EventOf<'lock.waiting'>;

/** Shows a wait as one line of a terminal that changes every second, from the last event. */
export class WaitingLine {
  readonly #live: LiveOutput;
  readonly #printLine: (event: MigrateLockEvent) => void;
  #last: { event: Waiting; atMs: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isBroken = false;

  /** `printLine` shows an event for which the live line failed. */
  constructor(live: LiveOutput, printLine: (event: MigrateLockEvent) => void) {
    this.#live = live;
    this.#printLine = printLine;
  }

  /** Returns true when the event is shown by this line. */
  takes(event: MigrateLockEvent): boolean {
    if (event.event !== 'lock.waiting') {
      if (!ASIDE.has(event.event)) this.#end();
      return false;
    }
    if (this.#isBroken || !this.#live.isOurs) return false;
    this.#last = { event, atMs: performance.now() };
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.#show(), EVERY_MS);
      this.#timer.unref();
      void this.#begin();
    } else {
      this.#show();
    }
    return true;
  }

  async #begin(): Promise<void> {
    try {
      await this.#live.load();
      this.#show();
    } catch {
      // The module is missing (only the main file was copied): print lines instead.
      this.#isBroken = true;
      const event = this.#last?.event;
      this.#end();
      if (event !== undefined) this.#printLine(event);
    }
  }

  #show(): void {
    if (this.#last === undefined) return;
    const { event, atMs } = this.#last;
    this.#live.show(printable(describeWait(event, performance.now() - atMs)));
  }

  #end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#last = undefined;
    this.#live.hide();
  }
}
