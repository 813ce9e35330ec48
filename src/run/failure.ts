import { MigrateLockError } from '../errors.js';
import type { EventStream } from '../events/event-stream.js';
import { EXIT_CODES } from '../exit-codes.js';
import { redactQuoted } from '../redact/quoted-words.js';
import { redactSecrets } from '../redact/secrets.js';
import { reachedLimit } from '../system/limits.js';
import type { RunResult } from './outcome.js';
import type { RunOptions } from './run-context.js';
import { Interrupted, signalExitCode } from './signals.js';

/** Emits an `error` event for a failure that ends the run, and returns its outcome. A signal emits no event. */
export function reportFailure(
  error: unknown,
  options: Pick<RunOptions, 'command' | 'connection'> & Partial<Pick<RunOptions, 'conflictExitCode'>>,
  events: EventStream,
): RunResult {
  if (error instanceof Interrupted) return { outcome: 'interrupted', exitCode: signalExitCode(error.signal) };
  const known = error instanceof MigrateLockError;
  const hint = known ? error.hint : reachedLimit(error);
  // The message names a command that was not found, which may be an assignment or a URL with a secret.
  const redact = (text: string): string =>
    redactSecrets(redactQuoted(text, [options.command]), options.connection.secrets);
  events.emit({
    event: 'error',
    code: known ? error.code : 'INTERNAL',
    message: redact(error instanceof Error ? error.message : String(error)),
    ...(hint === undefined ? {} : { hint: redact(hint) }),
  });
  if (known && error.exitCode === EXIT_CODES.conflict.code)
    return { outcome: 'conflict', exitCode: options.conflictExitCode ?? error.exitCode };
  if (known && error.exitCode === EXIT_CODES.deadline.code)
    return { outcome: 'deadline', exitCode: error.exitCode };
  return { outcome: 'error', exitCode: known ? error.exitCode : EXIT_CODES.internal.code };
}
