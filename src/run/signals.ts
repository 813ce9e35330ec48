import { constants } from 'node:os';
import { SIGNAL_EXIT_BASE } from '../exit-codes.js';

/** The signals that a process manager, a shell or a person sends, and that a child may want to act on. */
export const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;

/** A signal ended the wait, or came before the child was started. */
export class Interrupted extends Error {
  constructor(readonly signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
  }
}

/** 128 + n, as a shell reports it. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return SIGNAL_EXIT_BASE + constants.signals[signal];
}

type Receiver = (signal: NodeJS.Signals) => void;

/**
 * Takes the process's signals for as long as a run lasts, and routes each to the part of the run that acts on it now: the
 * wait, then the child, then the release. It remembers which signals the child got.
 */
export class SignalRouter {
  readonly #forwarded = new Set<NodeJS.Signals>();
  #receive: Receiver = () => undefined;
  readonly #take = (signal: NodeJS.Signals): void => this.#receive(signal);

  constructor() {
    for (const signal of FORWARDED) process.on(signal, this.#take);
  }

  /** The signals that the child got, from us or from its terminal. */
  get forwarded(): ReadonlySet<NodeJS.Signals> {
    return this.#forwarded;
  }

  /** The first signal from now on aborts, with an {Interrupted}. */
  interruptible(): AbortSignal {
    const interrupt = new AbortController();
    this.#receive = (signal) => interrupt.abort(new Interrupted(signal));
    return interrupt.signal;
  }

  /** Holds signals while the child is being started; see HeldSignals. */
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

  /** The child got this signal. */
  noteForwarded(signal: NodeJS.Signals): void {
    this.#forwarded.add(signal);
  }

  /** Signals have their default effect again. */
  close(): void {
    for (const signal of FORWARDED) process.off(signal, this.#take);
  }
}

/** Signals that came before there was a child to forward them to. */
export interface HeldSignals {
  /** @throws {Interrupted} */
  throwIfAny: () => void;
  /** Hands over the held signals, and routes every later one. */
  routeTo: (receive: Receiver) => void;
}
