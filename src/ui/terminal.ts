import { constants, openSync } from 'node:fs';
import { isatty, WriteStream } from 'node:tty';

const USUAL_COLUMNS = 80;

/** Whether a line that changes in place can be shown: not where a CI system records the terminal, nor on one that cannot. */
export function canRedraw(env: Record<string, string | undefined>, fd: number): boolean {
  const isRecorded = !['', '0', 'false'].includes(env.CI ?? '');
  return !isRecorded && env.TERM !== 'dumb' && isatty(fd);
}

/**
 * Tells how wide the terminal is now. It is asked over a description of our own, opened with the first question: Node opens a
 * terminal that it is given once more, over the descriptor, which is the child's too.
 */
export function columnsOf(fd: number): () => number {
  let terminal: Terminal | null | undefined;
  return () => {
    if (terminal === undefined) terminal = openTerminal(fd);
    // Node itself asks again only for process.stdout and process.stderr, and has no public name for it.
    terminal?._refreshSize?.();
    const columns = terminal?.columns ?? 0;
    // A terminal that nobody has told its size says 0.
    return columns > 0 ? columns : USUAL_COLUMNS;
  };
}

type Terminal = WriteStream & { _refreshSize?: () => void };

/** Stays open until we end: Node closes only one of the two descriptors that it then has. */
function openTerminal(fd: number): Terminal | null {
  const own = openAny([`/proc/self/fd/${fd}`, '/dev/tty']);
  if (own === undefined) return null;
  try {
    // It may go away before we do.
    return new WriteStream(own).on('error', () => undefined);
  } catch {
    return null;
  }
}

function openAny(paths: readonly string[]): number | undefined {
  for (const path of paths) {
    try {
      return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch {
      // The next one.
    }
  }
  return undefined;
}
