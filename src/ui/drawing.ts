/** Draws a line that changes in place. Loaded only when there is one. */
import { clearLine, clearScreenDown, cursorTo, moveCursor } from 'node:readline';
import { Writable } from 'node:stream';
import cliTruncate from 'cli-truncate';

/** The free columns, for the `^C` that the terminal echoes for Ctrl-C. */
const ROOM = 3;

/** Erases the line in which the cursor is, and leaves the cursor at its beginning. */
export const ERASE = controlSequence((terminal) => {
  clearLine(terminal, 0);
  cursorTo(terminal, 0);
});

/** Erases the last lines, and leaves the cursor where they began. */
export function eraseLines(count: number): string {
  return controlSequence((terminal) => {
    moveCursor(terminal, 0, -count);
    cursorTo(terminal, 0);
    clearScreenDown(terminal);
  });
}

/** As much of the text as the terminal shows in one line. */
export function fitted(text: string, columns: number): string {
  return cliTruncate(text, Math.max(1, columns - ROOM));
}

function controlSequence(write: (stream: Writable) => void): string {
  let text = '';
  const stream = new Writable({
    write: (chunk, _, done) => {
      text += String(chunk);
      done();
    },
  });
  write(stream);
  return text;
}
