import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { escapeForTerminals } from '../events/json-lines.js';
import type { EventListener, EventName, MigrateLockEvent } from '../events/events.js';

/** The exit of migrate-lock waits this long at most for all commands together. */
const EXIT_WAIT_MS = 5_000;
/** A run whose events come faster than their commands end does not fill the machine with processes. */
const MOST_AT_ONCE = 16;

const BY_DEFAULT: readonly EventName[] = [
  'wait.timeout',
  'lock.takeover',
  'child.deadline',
  'lock.lost',
  'database.blocking',
];

export interface EventCommandOptions {
  /** A line for `sh -c`. It gets the event as JSON on its stdin; its stdout is our stderr. */
  command: string;
  /** null: those that need attention, and the end of a run that did not succeed. */
  events: readonly EventName[] | null;
  env: NodeJS.ProcessEnv;
  cwd: string;
}

/** Starts a command for each of some events. Neither the deadline nor the release waits for it. */
export class EventCommand {
  readonly #running = new Map<Promise<void>, () => void>();
  /** What the first failure was: one warning is enough. */
  #problem: string | undefined;

  constructor(private readonly options: EventCommandOptions) {}

  readonly onEvent: EventListener = (event) => {
    if (!this.#isWanted(event)) return;
    if (this.#running.size >= MOST_AT_ONCE) {
      this.#problem ??= `it was not started for ${event.event}: ${MOST_AT_ONCE} of it were running`;
      return;
    }
    const stop = new AbortController();
    const ended = this.#run(event, stop.signal).catch((error: unknown) => {
      this.#problem ??= `it could not be started: ${error instanceof Error ? error.message : String(error)}`;
    });
    this.#running.set(ended, () => stop.abort());
    void ended.then(() => this.#running.delete(ended));
  };

  /** Waits up to 5 s for the commands, and ends those that still run. @returns what did not succeed; undefined: nothing. */
  async finish(): Promise<string | undefined> {
    const waiting = new AbortController();
    const tooLate = sleep(EXIT_WAIT_MS, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([Promise.all(this.#running.keys()), tooLate]);
    waiting.abort();
    for (const stop of this.#running.values()) {
      this.#problem ??= 'it did not end within 5s, and was ended';
      stop();
    }
    return this.#problem;
  }

  #isWanted({ event, ...fields }: MigrateLockEvent): boolean {
    const { events } = this.options;
    if (events !== null) return events.includes(event);
    return (
      BY_DEFAULT.includes(event) ||
      (event === 'run.finished' && 'exitCode' in fields && fields.exitCode !== 0)
    );
  }

  async #run(event: MigrateLockEvent, stop: AbortSignal): Promise<void> {
    // What the event is about comes first: for a deadline, that is SIGTERM.
    await new Promise(setImmediate);
    const { command, env, cwd } = this.options;
    // In a session of its own: Ctrl-C ends the run, not the message about it.
    const child = spawn('sh', ['-c', command], { cwd, env, stdio: ['pipe', 2, 2], detached: true });
    const end = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has just ended.
      }
    };
    stop.addEventListener('abort', end);
    // A command need not read the event.
    child.stdin?.on('error', () => undefined).end(`${escapeForTerminals(JSON.stringify(event))}\n`);
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        if (code !== 0 && !stop.aborted) {
          this.#problem ??= `for ${event.event} it ended with ${signal ?? `exit code ${code ?? 'unknown'}`}`;
        }
        resolve();
      });
    });
  }
}
