import { constants, openSync } from 'node:fs';
import { isatty, WriteStream } from 'node:tty';

const USUAL_COLUMNS = 80;
const USUAL_ROWS = 24;

/** Whether a line that changes in place can be shown: not in CI, and not on a dumb terminal. */
export function canRedraw(env: Record<string, string | undefined>, fd: number): boolean {
  const isRecorded = !['', '0', 'false'].includes(env.CI ?? '');
  return !isRecorded && env.TERM !== 'dumb' && isatty(fd);
}

/**
 * Returns a function that reads the current width of the terminal, over our own open file description: Node would reopen the
 * terminal over the descriptor, which the child shares.
 */
export function columnsOf(fd: number): () => number {
  const size = sizeOf(fd);
  return () => size().columns;
}

/** As columnsOf(), with the height. */
export function sizeOf(fd: number): () => { columns: number; rows: number } {
  let terminal: Terminal | null | undefined;
  return () => {
    if (terminal === undefined) terminal = openTerminal(fd);
    // Node refreshes the size only of process.stdout and process.stderr, and has no public method for it.
    terminal?._refreshSize?.();
    const [columns, rows] = [terminal?.columns ?? 0, terminal?.rows ?? 0];
    // A terminal whose size was never set has 0 columns.
    return { columns: columns > 0 ? columns : USUAL_COLUMNS, rows: rows > 0 ? rows : USUAL_ROWS };
  };
}

type Terminal = WriteStream & { _refreshSize?: () => void };

/** Stays open until the exit: Node would close only one of its two descriptors. */
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
