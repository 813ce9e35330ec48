import type { EventName, EventOf, MigrateLockEvent } from '../events/events.js';
import { describeWait } from './messages.js';
import type { LiveOutput } from './live-output.js';
import { printable } from './printable.js';

const EVERY_MS = 1_000;

/** What is told while we wait and go on waiting; anything else ends the wait. */
const ASIDE: ReadonlySet<EventName> = new Set([
  'schema.applied',
  'lock.orphans',
  'guard.restarted',
  'guard.absent',
  'socket.absent',
]);

type Waiting = MigrateLockEvent & EventOf<'lock.waiting'>;

/** Shows a wait as one line of a terminal that changes every second, from what the last event told. */
export class WaitingLine {
  readonly #live: LiveOutput;
  readonly #tellPlainly: (event: MigrateLockEvent) => void;
  #last: { event: Waiting; atMs: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isBroken = false;

  /** `tellPlainly` is for what could not be shown after all. */
  constructor(live: LiveOutput, tellPlainly: (event: MigrateLockEvent) => void) {
    this.#live = live;
    this.#tellPlainly = tellPlainly;
  }

  /** Returns true when the event need not be told otherwise. */
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
      // The program's one file was copied without the others: lines do as well.
      this.#isBroken = true;
      const event = this.#last?.event;
      this.#end();
      if (event !== undefined) this.#tellPlainly(event);
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
