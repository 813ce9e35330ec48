import { AXIS_COLOUR, svg, WIDTH } from './picture.mjs';

const ROW = 5;
const MARGIN = { left: 20, right: 20, top: 58, bottom: 34 };
const COLOURS = {
  starts: '#e4e7eb',
  waits: '#a9cdf0',
  runs: '#d1570b',
};

/** @typedef {{ startedMs: number, waitsFromMs: number, runsFromMs: number, runsToMs: number, endedMs: number }} Run */

/**
 * One row for each process, in the order in which they ran: it starts, waits, runs.
 * @param {readonly Run[]} runs times on one clock
 * @param {string} title
 * @returns {string} SVG
 */
export function drawStorm(runs, title) {
  const beginMs = Math.min(...runs.map(({ startedMs }) => startedMs));
  const totalMs = Math.max(...runs.map(({ endedMs }) => endedMs)) - beginMs;
  const height = MARGIN.top + runs.length * ROW + MARGIN.bottom;
  const bottom = height - MARGIN.bottom;
  /** @param {number} ms since the start */
  const x = (ms) => MARGIN.left + (ms / totalMs) * (WIDTH - MARGIN.left - MARGIN.right);
  /**
   * @param {number} row
   * @param {number} fromMs
   * @param {number} toMs
   * @param {string} colour
   */
  const bar = (row, fromMs, toMs, colour) => {
    const left = x(fromMs - beginMs);
    const width = Math.max(0, x(toMs - beginMs) - left);
    const box = `x="${left.toFixed(1)}" y="${MARGIN.top + row * ROW}" width="${width.toFixed(1)}" height="${ROW - 1}"`;
    return `<rect ${box} fill="${colour}"/>`;
  };
  const bars = runs.flatMap((run, row) => [
    bar(row, run.startedMs, run.waitsFromMs, COLOURS.starts),
    bar(row, run.waitsFromMs, run.runsFromMs, COLOURS.waits),
    bar(row, run.runsFromMs, run.runsToMs, COLOURS.runs),
  ]);
  const stepS = [0.5, 1, 2, 5, 10, 30].find((step) => totalMs / 1000 / step <= 12) ?? 60;
  const ticks = Array.from({ length: Math.floor(totalMs / 1000 / stepS) + 1 }, (_, index) => index * stepS);
  const axis = ticks.flatMap((seconds) => {
    const at = x(seconds * 1000).toFixed(1);
    return [
      `<line x1="${at}" y1="${MARGIN.top - 4}" x2="${at}" y2="${bottom + 4}" stroke="${AXIS_COLOUR}"/>`,
      `<text x="${at}" y="${bottom + 20}" text-anchor="middle">${seconds} s</text>`,
    ];
  });
  const legend = /** @type {const} */ (['starts', 'waits', 'runs']).flatMap((name, index) => {
    const left = MARGIN.left + index * 80;
    return [
      `<rect x="${left}" y="36" width="12" height="9" fill="${COLOURS[name]}"/>`,
      `<text x="${left + 18}" y="45">${name}</text>`,
    ];
  });
  return svg({ title, height, left: MARGIN.left, parts: [...axis, ...bars, ...legend] });
}
