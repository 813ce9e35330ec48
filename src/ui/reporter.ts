import { Chalk } from 'chalk';
import type { Output } from '../output/output.js';
import { formatError } from './error-text.js';
import type { EventListener, MigrateLockEvent } from '../events/events.js';
import { describeEvent, type Message, type Tone } from './messages.js';
import type { LiveOutput } from './live-output.js';
import { printable } from './printable.js';
import { WaitingLine } from './waiting-line.js';

export interface Reporter {
  readonly onEvent: EventListener;
  /** An error that is in no event. */
  readonly error: (error: unknown) => void;
  /** A word on the side. */
  readonly warn: (text: string) => void;
}

export interface ReporterOptions {
  quiet: boolean;
  colour: boolean;
  live?: LiveOutput | undefined;
  redact?: (text: string) => string;
}

/**
 * Writes for people: a line a step, and a second one where there is something to do. `quiet` leaves what went wrong. With
 * `live`, the output to a terminal, a wait is one line that changes in place. `redact` takes out of errors and warnings what
 * must not be shown; events come without it.
 */
export function createReporter(
  output: Output,
  { quiet, colour, live, redact = (text) => text }: ReporterOptions,
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
  const tellOf = (event: MigrateLockEvent): void => {
    const message = describeEvent(event);
    if (message !== null) tell(message);
  };
  const waitingLine = live === undefined || quiet ? undefined : new WaitingLine(live, tellOf);
  return {
    onEvent: (event) => {
      if (waitingLine?.takes(event) !== true) tellOf(event);
    },
    error: (error) => {
      const { text, hint } = formatError(error);
      tell({ text: redact(text), hint: hint === undefined ? undefined : redact(hint), tone: 'bad' });
    },
    warn: (text) => {
      tell({ text: redact(text), tone: 'warn' });
    },
  };
}
