import { Chalk } from 'chalk';
import type { Output } from '../audit/output.js';
import type { EventListener } from '../events.js';
import { describeEvent, formatError, type Message, type Tone } from '../messages.js';
import { printable } from './printable.js';

export interface Reporter {
  readonly onEvent: EventListener;
  /** An error that no event tells of. */
  readonly error: (error: unknown) => void;
  /** A word on the side. */
  readonly warn: (text: string) => void;
}

/** Writes for people: a line a step, and a second one where there is something to do. `quiet` leaves what went wrong. */
export function createReporter(
  output: Output,
  { quiet, colour }: { quiet: boolean; colour: boolean },
): Reporter {
  // Sixteen colours, which every terminal has; how many it has makes no difference here.
  const chalk = new Chalk({ level: colour ? 1 : 0 });
  const paint: Record<Tone, (text: string) => string> = {
    info: (text) => text,
    good: chalk.green,
    warn: chalk.yellow,
    bad: chalk.red,
  };
  const prefix = chalk.dim('migrate-lock:');
  const tell = ({ text, tone, hint }: Message): void => {
    if (quiet && tone !== 'bad') return;
    output.writeLine(`${prefix} ${paint[tone](printable(text))}`);
    if (hint !== undefined && hint !== '') output.writeLine(`${prefix} ${printable(hint)}`);
  };
  return {
    onEvent: (event) => {
      const message = describeEvent(event);
      if (message !== null) tell(message);
    },
    error: (error) => {
      tell({ ...formatError(error), tone: 'bad' });
    },
    warn: (text) => {
      tell({ text, tone: 'warn' });
    },
  };
}
