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
  /** Goes into every later event: set `fencingToken` and `database` here when they become known. */
  readonly context: EventContext;
}

/** Makes events of occurrences: adds version, time and context. `now` is the wall clock: times are for readers, nothing is decided by them. */
export function createEventStream(
  context: EventContext,
  listeners: readonly EventListener[],
  { now = () => new Date() }: { now?: () => Date } = {},
): EventStream {
  return {
    emit: (occurrence) => {
      const event: MigrateLockEvent = {
        v: EVENT_VERSION,
        time: now().toISOString(),
        ...context,
        ...occurrence,
      };
      for (const listener of listeners) {
        try {
          listener(event);
        } catch {
          // A listener cannot fail a run: the lock is still to be released.
        }
      }
    },
    context,
  };
}
