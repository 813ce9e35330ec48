import type { Output } from '../output/output.js';
import { paintFor } from './colour.js';
import { formatError } from './error-text.js';
import type { EventListener, MigrateLockEvent } from '../events/events.js';
import { describeEvent, type Message, type Tone } from './messages.js';
import type { LiveOutput } from './live-output.js';
import { printable } from './printable.js';
import { WaitingLine } from './waiting-line.js';

export interface Reporter {
  readonly onEvent: EventListener;
  /** Shows an error that is in no event. */
  readonly error: (error: unknown) => void;
  /** Shows a notice. */
  readonly warn: (text: string) => void;
}

export interface ReporterOptions {
  quiet: boolean;
  colour: boolean;
  live?: LiveOutput | undefined;
  redact?: (text: string) => string;
}

/**
 * Writes lines for people: one for each event, and a second one with a hint. `quiet` shows only errors. With `live`, the
 * output to a terminal, a wait is one line that changes in place. `redact` removes secrets from errors and notices; events
 * contain none.
 */
export function createReporter(
  output: Output,
  { quiet, colour, live, redact = (text) => text }: ReporterOptions,
): Reporter {
  const paint = { info: (text: string): string => text, ...paintFor(colour) } satisfies Record<Tone, unknown>;
  const prefix = paint.dim('migrate-lock:');
  const print = ({ text, tone, hint }: Message): void => {
    if (quiet && tone !== 'bad') return;
    output.writeLine(`${prefix} ${paint[tone](printable(text))}`);
    if (hint !== undefined && hint !== '') output.writeLine(`${prefix} ${printable(hint)}`);
  };
  // A success of the command says nothing then.
  let isCutOff = false;
  const printEvent = (event: MigrateLockEvent): void => {
    if (event.event === 'child.started') isCutOff = false;
    if (event.event === 'database.blocking') isCutOff ||= event.action !== 'reported';
    const message = describeEvent(event, isCutOff);
    if (message !== null) print(message);
  };
  const waitingLine = live === undefined || quiet ? undefined : new WaitingLine(live, printEvent);
  return {
    onEvent: (event) => {
      if (waitingLine?.takes(event) !== true) printEvent(event);
    },
    error: (error) => {
      const { text, hint } = formatError(error);
      print({ text: redact(text), hint: hint === undefined ? undefined : redact(hint), tone: 'bad' });
    },
    warn: (text) => {
      print({ text: redact(text), tone: 'warn' });
    },
  };
}
