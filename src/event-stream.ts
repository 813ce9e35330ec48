import {
  EVENT_VERSION,
  type EventContext,
  type EventListener,
  type MigrateLockEvent,
  type Occurrence,
} from './events.js';

export interface EventStream {
  /** Tells every listener, at once and in order. Never throws. */
  emit: (occurrence: Occurrence) => void;
  /** As emit(), but what is to be done at once, and sent, goes first. Still in order, and with the time of now. */
  emitSoon: (occurrence: Occurrence) => void;
  /** Goes into every later event: set `fencingToken` and `database` here when they become known. */
  readonly context: EventContext;
}

/** Makes events of occurrences: adds version, time and context. `now` is the wall clock: times are for readers, nothing is decided by them. */
export function createEventStream(
  context: EventContext,
  listeners: readonly EventListener[],
  { now = () => new Date() }: { now?: () => Date } = {},
): EventStream {
  const waiting: MigrateLockEvent[] = [];
  const make = (occurrence: Occurrence): MigrateLockEvent => ({
    v: EVENT_VERSION,
    time: now().toISOString(),
    ...context,
    ...occurrence,
  });
  const tell = (event: MigrateLockEvent): void => {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch {
        // Whoever only listens cannot fail a run: the lock is still to be released.
      }
    }
  };
  const tellWaiting = (): void => waiting.splice(0).forEach(tell);
  return {
    emit: (occurrence) => {
      const event = make(occurrence);
      tellWaiting();
      tell(event);
    },
    emitSoon: (occurrence) => {
      waiting.push(make(occurrence));
      // postgres.js sends in the next turn.
      setImmediate(() => setImmediate(tellWaiting));
    },
    context,
  };
}
