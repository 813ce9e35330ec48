import { isatty } from 'node:tty';
import { printable } from './printable.js';

/** Whether there is a terminal for a question. */
export function canAsk(): boolean {
  return isatty(0) && isatty(2);
}

/** Asks on the terminal. Any answer other than yes is a no, and so is the end of the input. */
export async function confirm(question: string): Promise<boolean> {
  // Loaded here, because no run asks a question.
  const { createInterface } = await import('node:readline');
  // Not as a terminal: line editing stays the terminal's, and Ctrl-C ends this process.
  const lines = createInterface({ input: process.stdin, terminal: false });
  process.stderr.write(`${printable(question)} [y/N] `);
  return new Promise<boolean>((resolve) => {
    lines.once('line', (line) => {
      resolve(/^\s*y(es)?\s*$/i.test(line));
      lines.close();
    });
    lines.once('close', () => resolve(false));
  }).finally(() => process.stdin.unref());
}
