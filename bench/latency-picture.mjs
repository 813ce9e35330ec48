import { AXIS_COLOUR, escape, svg, WIDTH } from './picture.mjs';

const PANEL = 130;
const GAP = 46;
const MARGIN = { left: 46, right: 20, top: 62, bottom: 30 };
const WRITES_COLOUR = '#d1570b';

/**
 * One panel for each series, on the same scales: a line for each write, from its start to its end, as high as it took long.
 * @param {readonly { title: string, writes: readonly { atMs: number, tookMs: number }[] }[]} panels
 * @param {string} title
 * @returns {string} SVG
 */
export function drawLatency(panels, title) {
  const all = panels.flatMap(({ writes }) => writes);
  const totalMs = Math.max(...all.map(({ atMs, tookMs }) => atMs + tookMs));
  const highestS = Math.ceil(Math.max(...all.map(({ tookMs }) => tookMs)) / 1000);
  const height = MARGIN.top + panels.length * (PANEL + GAP) - GAP + MARGIN.bottom;
  /** @param {number} ms */
  const x = (ms) => MARGIN.left + (ms / totalMs) * (WIDTH - MARGIN.left - MARGIN.right);
  const drawn = panels.flatMap(({ title: name, writes }, index) => {
    const top = MARGIN.top + index * (PANEL + GAP);
    /** @param {number} seconds */
    const y = (seconds) => top + PANEL * (1 - seconds / highestS);
    const levels = Array.from({ length: highestS + 1 }, (_, seconds) => seconds).filter(
      (seconds) => seconds % Math.ceil(highestS / 4) === 0,
    );
    return [
      `<text x="${MARGIN.left}" y="${top - 8}">${escape(name)}</text>`,
      ...levels.flatMap((seconds) => [
        `<line x1="${MARGIN.left}" y1="${y(seconds).toFixed(1)}" x2="${WIDTH - MARGIN.right}" y2="${y(seconds).toFixed(1)}" stroke="${AXIS_COLOUR}"/>`,
        `<text x="${MARGIN.left - 8}" y="${(y(seconds) + 4).toFixed(1)}" text-anchor="end">${seconds} s</text>`,
      ]),
      // Only what can be seen: a short write is a dot on the line below.
      ...writes
        .filter(({ tookMs }) => tookMs >= 20)
        .map(({ atMs, tookMs }) => {
          const level = y(tookMs / 1000).toFixed(1);
          return `<line x1="${x(atMs).toFixed(1)}" y1="${y(0).toFixed(1)}" x2="${x(atMs + tookMs).toFixed(1)}" y2="${level}" stroke="${WRITES_COLOUR}"/>`;
        }),
    ];
  });
  const ticks = Array.from({ length: Math.floor(totalMs / 1000) + 1 }, (_, seconds) => seconds);
  return svg({
    title,
    height,
    left: MARGIN.left,
    parts: [
      ...drawn,
      ...ticks.map(
        (seconds) =>
          `<text x="${x(seconds * 1000).toFixed(1)}" y="${height - 10}" text-anchor="middle">${seconds} s</text>`,
      ),
    ],
  });
}
