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

/** Signals that came before there was somebody to take them. */
export interface HeldSignals {
  /** @throws {Interrupted} */
  throwIfAny: () => void;
  /** Hands them over, and every later one. */
  passTo: (forward: (signal: NodeJS.Signals) => void) => void;
}

/** 128 + n, as a shell reports it. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return SIGNAL_EXIT_BASE + constants.signals[signal];
}

/**
 * Takes the process's signals for as long as a run lasts, and hands each arrival to what is in charge at that moment:
 * the wait, then the child, then the release.
 */
export class SignalRouter {
  #receive: (signal: NodeJS.Signals) => void = () => undefined;
  readonly #take = (signal: NodeJS.Signals): void => this.#receive(signal);

  constructor() {
    for (const signal of FORWARDED) process.on(signal, this.#take);
  }

  /** Keeps what comes while the child is being started. */
  hold(): HeldSignals {
    const held: NodeJS.Signals[] = [];
    this.routeTo((signal) => held.push(signal));
    return {
      throwIfAny: () => {
        const [first] = held;
        if (first !== undefined) throw new Interrupted(first);
      },
      passTo: (forward) => {
        held.forEach(forward);
        this.routeTo(forward);
      },
    };
  }

  routeTo(receive: (signal: NodeJS.Signals) => void): void {
    this.#receive = receive;
  }

  /** Signals have their default effect again. */
  close(): void {
    for (const signal of FORWARDED) process.off(signal, this.#take);
  }
}
