import { MigrateLockError } from '../errors.js';
import type { EventStream } from '../events/event-stream.js';
import { EXIT_CODES } from '../exit-codes.js';
import { redactQuoted } from '../redact/quoted-words.js';
import { redactSecrets } from '../redact/secrets.js';
import { reachedLimit } from '../system/limits.js';
import type { RunResult } from './outcome.js';
import type { RunOptions } from './run-context.js';
import { Interrupted, signalExitCode } from './signals.js';

/** What a run cannot go on after: an `error` event and an outcome. A signal has no event. */
export function reportFailure(error: unknown, options: RunOptions, events: EventStream): RunResult {
  if (error instanceof Interrupted) return { outcome: 'interrupted', exitCode: signalExitCode(error.signal) };
  const known = error instanceof MigrateLockError;
  const hint = known ? error.hint : reachedLimit(error);
  // A command that is not found is named: it may be an assignment, or a URL, that stands where the command should.
  const redact = (text: string): string =>
    redactSecrets(redactQuoted(text, [options.command]), options.connection.secrets);
  events.emit({
    event: 'error',
    code: known ? error.code : 'INTERNAL',
    message: redact(error instanceof Error ? error.message : String(error)),
    ...(hint === undefined ? {} : { hint: redact(hint) }),
  });
  if (known && error.exitCode === EXIT_CODES.deadline.code)
    return { outcome: 'deadline', exitCode: error.exitCode };
  return { outcome: 'error', exitCode: known ? error.exitCode : EXIT_CODES.internal.code };
}
