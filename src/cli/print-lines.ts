import { MigrateLockError } from '../errors.js';
import type { Output } from '../output/output.js';

/** The longest delay of a timer. */
const NO_LIMIT_MS = 2 ** 31 - 1;

/**
 * Prints the result of a command that holds no lease: it waits for a slow reader, as other programs do, and loses no line.
 * @throws {MigrateLockError} when the output cannot be written. A reader that has gone is no failure.
 */
export async function printLines(stdout: Output, lines: Iterable<string>): Promise<void> {
  for (const line of lines) {
    stdout.writeLine(line);
    if (stdout.isIdle !== true) await stdout.flush(NO_LIMIT_MS);
    if (stdout.isGone === true) return;
  }
  await stdout.flush(NO_LIMIT_MS);
  if (stdout.hasLost !== true) return;
  throw new MigrateLockError('The output could not be written, and is not complete.', {
    code: 'INTERNAL',
    exit: 'internal',
    hint: 'Is the disk full? Nothing else failed: repeat the command.',
  });
}
