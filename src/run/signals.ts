import { constants } from 'node:os';
import { SIGNAL_EXIT_BASE } from '../exit-codes.js';

/** The signals that are forwarded to the child. */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** With these signals, a run gives up waiting for processes that cannot be ended. */
export const GIVE_UP_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGTERM']);

/** A signal ended the wait, or arrived before the child was started. */
export class Interrupted extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
  }
}

/** 128 + n, the exit code that a shell reports. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return SIGNAL_EXIT_BASE + constants.signals[signal];
}

type Receiver = (signal: NodeJS.Signals) => void;

/**
 * Handles the process's signals during a run, and routes each to the current part of it: the wait, then the child, then the
 * release. It records which signals the child got.
 */
export class SignalRouter {
  readonly #forwarded = new Set<NodeJS.Signals>();
  #receive: Receiver = () => undefined;
  readonly #take = (signal: NodeJS.Signals): void => this.#receive(signal);

  constructor() {
    for (const signal of FORWARDED) process.on(signal, this.#take);
  }

  /** The signals that the child got, from migrate-lock or from its terminal. */
  get forwarded(): ReadonlySet<NodeJS.Signals> {
    return this.#forwarded;
  }

  /** The next signal aborts the returned AbortSignal, with an {Interrupted}. */
  interruptible(): AbortSignal {
    const interrupt = new AbortController();
    this.#receive = (signal) => interrupt.abort(new Interrupted(signal));
    return interrupt.signal;
  }

  /** Holds signals back while the child is being started; see HeldSignals. */
  hold(): HeldSignals {
    const held: NodeJS.Signals[] = [];
    this.#receive = (signal) => held.push(signal);
    return {
      throwIfAny: () => {
        const [first] = held;
        if (first !== undefined) throw new Interrupted(first);
      },
      routeTo: (receive) => {
        held.forEach(receive);
        this.#receive = receive;
      },
    };
  }

  /** Records that the child got this signal. */
  noteForwarded(signal: NodeJS.Signals): void {
    this.#forwarded.add(signal);
  }

  /** @throws {Interrupted} when a child got a signal: the run ends. */
  throwIfForwarded(): void {
    for (const signal of this.#forwarded) throw new Interrupted(signal);
  }

  /** Restores the default effect of the signals. */
  close(): void {
    for (const signal of FORWARDED) process.off(signal, this.#take);
  }
}

/** Signals that arrived before the child was started. */
export interface HeldSignals {
  /** @throws {Interrupted} */
  throwIfAny: () => void;
  /** Passes the held signals and every later one to `receive`. */
  routeTo: (receive: Receiver) => void;
}
