/** ESC [ parameters letter. */
// eslint-disable-next-line no-control-regex -- that is how they begin
const SEQUENCE = /^\u001b\[(\d*(?:;\d+)*)([A-Za-z])/;

/**
 * What a terminal shows after this output, line by line. It knows the sequences that migrate-lock may send, and throws
 * for others:
 * colours, erasing the line or all below, the return to the line's start, and lines above.
 */
export function screenOf(output: string): string[] {
  const lines: string[][] = [[]];
  let [row, column] = [0, 0];
  for (let rest = output; rest !== '';) {
    const [sequence = rest.charAt(0), parameters = '', letter] = SEQUENCE.exec(rest) ?? [];
    const line = lines[row] ?? [];
    if (letter === 'A') row = Math.max(0, row - Number(parameters || 1));
    else if (letter === 'J' && ['', '0'].includes(parameters)) {
      line.length = Math.min(line.length, column);
      lines.length = row + 1;
    } else if (letter === 'K' && parameters === '2') line.length = 0;
    else if (letter === 'G' && ['', '1'].includes(parameters)) column = 0;
    else if (letter !== undefined && letter !== 'm') throw new Error(`sent ${JSON.stringify(sequence)}`);
    else if (sequence === '\r') column = 0;
    else if (sequence === '\n') {
      row++;
      if (row === lines.length) lines.push([]);
      column = 0;
    } else if (letter === undefined) {
      if (sequence < ' ') throw new Error(`sent ${JSON.stringify(sequence)}`);
      while (line.length < column) line.push(' ');
      line[column++] = sequence;
    }
    rest = rest.slice(sequence.length);
  }
  return lines.map((line) => line.join(''));
}
