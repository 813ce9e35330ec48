import {
  EVENT_VERSION,
  type EventContext,
  type EventListener,
  type MigrateLockEvent,
  type EventBody,
} from './events.js';

export interface EventStream {
  /** Passes the event to every listener, at once and in order. Never throws. */
  emit: (body: EventBody) => void;
  /** Goes into every later event: set `fencingToken` and `database` here when they become known. */
  readonly context: EventContext;
}

/** Adds version, time and context to each event. `now` is the wall clock: times are for readers only. */
export function createEventStream(
  context: EventContext,
  listeners: readonly EventListener[],
  { now = () => new Date() }: { now?: () => Date } = {},
): EventStream {
  return {
    emit: (body) => {
      const event: MigrateLockEvent = {
        v: EVENT_VERSION,
        time: now().toISOString(),
        ...context,
        ...body,
      };
      for (const listener of listeners) {
        try {
          listener(event);
        } catch {
          // An error of a listener must not fail a run: the lock is still to be released.
        }
      }
    },
    context,
  };
}
