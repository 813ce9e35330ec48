/** ESC [ parameters letter. */
// eslint-disable-next-line no-control-regex -- that is how they begin
const SEQUENCE = /^\u001b\[(\d*(?:;\d+)*)([A-Za-z])/;

/**
 * What a terminal shows after this output, line by line. It knows the sequences that migrate-lock may send, and throws
 * for others:
 * colours, erasing the line, and the return to its start.
 */
export function screenOf(output: string): string[] {
  const lines: string[][] = [[]];
  let column = 0;
  for (let rest = output; rest !== '';) {
    const [sequence = rest.charAt(0), parameters = '', letter] = SEQUENCE.exec(rest) ?? [];
    const line = lines.at(-1) ?? [];
    if (letter === 'K' && parameters === '2') line.length = 0;
    else if (letter === 'G' && ['', '1'].includes(parameters)) column = 0;
    else if (letter !== undefined && letter !== 'm') throw new Error(`sent ${JSON.stringify(sequence)}`);
    else if (sequence === '\r') column = 0;
    else if (sequence === '\n') {
      lines.push([]);
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
