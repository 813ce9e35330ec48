import type { EventListener, MigrateLockEvent, Outcome } from '../events/events.js';

/** The metrics of a run. */
export interface RunFigures {
  instanceId: string;
  database: string | null;
  schema: string;
  /** How long it waited, as its events say. */
  waitMs: number;
  /** How long it had the lease; until the release failed, when it could not be released. */
  holdMs: number;
  polls: number;
  /** The number of waiters, this run included, when it found the lock held; 0 when it did not. */
  queueLength: number;
  takeovers: number;
  outcome: Outcome;
  exitCode: number;
  finishedAtMs: number;
}

/** Computes the metrics of a run from its events. */
export class FigureCollector {
  #waitMs = 0;
  #holdMs = 0;
  #polls = 0;
  #queueLength: number | undefined;
  #takeovers = 0;
  #acquiredAtMs: number | undefined;
  #figures: RunFigures | undefined;

  /** Undefined before `run.finished`. */
  get figures(): RunFigures | undefined {
    return this.#figures;
  }

  readonly onEvent: EventListener = (event) => {
    // Several events have the wait's values: the last one counts; for the queue, the first. Of `database.blocking`, others wait.
    if ('waitedMs' in event && event.event !== 'database.blocking') this.#waitMs = event.waitedMs;
    if ('polls' in event) this.#polls = event.polls;
    if ('queueLength' in event) this.#queueLength ??= event.queueLength;
    if (event.event === 'lock.takeover') this.#takeovers++;
    if (event.event === 'lock.acquired') this.#acquiredAtMs = Date.parse(event.time);
    if (event.event === 'lock.released') this.#holdMs = event.heldMs;
    if (event.event === 'lock.lost' || event.event === 'lock.release_failed')
      this.#holdMs = this.#sinceAcquired(event);
    if (event.event === 'run.finished') this.#figures = this.#finish(event);
  };

  #finish(event: Extract<MigrateLockEvent, { event: 'run.finished' }>): RunFigures {
    const { instanceId, database, schema, outcome, exitCode, time } = event;
    return {
      instanceId,
      database,
      schema,
      waitMs: this.#waitMs,
      holdMs: this.#holdMs,
      polls: this.#polls,
      queueLength: this.#queueLength ?? 0,
      takeovers: this.#takeovers,
      outcome,
      exitCode,
      finishedAtMs: Date.parse(time),
    };
  }

  #sinceAcquired({ time }: MigrateLockEvent): number {
    if (this.#acquiredAtMs === undefined) return 0;
    // The wall clock may have stepped back.
    return Math.max(0, Date.parse(time) - this.#acquiredAtMs);
  }
}
