/** What the pictures of the bench have in common. */
export const WIDTH = 860;
export const AXIS_COLOUR = '#d0d7de';

/**
 * @param {{ title: string, height: number, left: number, parts: readonly string[] }} picture left: where the title begins
 * @returns {string} SVG
 */
export function svg({ title, height, left, parts }) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" rx="6" fill="#ffffff"/>`,
    `<g fill="#24292f">`,
    `<text x="${left}" y="24" font-size="15">${escape(title)}</text>`,
    ...parts,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

/** @param {string} text */
export function escape(text) {
  return text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
