/** @param {number} ms */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** @param {string} text */
export function heading(text) {
  console.log(`\n${text}\n${'='.repeat(text.length)}`);
}

/**
 * Prints rows as aligned columns; numbers are aligned to the right.
 * @param {string[]} names
 * @param {(string | number)[][]} rows
 */
export function table(names, rows) {
  const widths = names.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  /** @param {(string | number)[]} cells */
  const line = (cells) =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  for (const cells of [names, widths.map((width) => '-'.repeat(width)), ...rows])
    console.log(`  ${line(cells)}`);
}

const BAR_WIDTH = 44;

/**
 * One line of the picture: dots while it waited, blocks while its command ran.
 * @param {{ startedMs: number, ranFromMs: number, ranToMs: number }} run
 * @param {number} totalMs of the whole width
 */
export function bar({ startedMs, ranFromMs, ranToMs }, totalMs) {
  /** @param {number} ms */
  const column = (ms) => Math.round((ms / totalMs) * BAR_WIDTH);
  const waited = Math.max(0, column(ranFromMs) - column(startedMs));
  const ran = Math.max(1, column(ranToMs) - column(ranFromMs));
  return `${' '.repeat(column(startedMs))}${'.'.repeat(waited)}${'#'.repeat(ran)}`.padEnd(BAR_WIDTH + 1);
}
