/** Says, at the end of a text, that there was more of it. */
const CUT = '… (cut)';

/**
 * At most `length` UTF-16 units of a text, `mark` at the end of what was cut included. A character of two units is never cut in
 * half: PostgreSQL refuses half of one.
 */
export function shorten(text: string, length: number, mark: string = CUT): string {
  if (text.length <= length) return text;
  const kept = text.slice(0, Math.max(0, length - mark.length));
  return (/[\ud800-\udbff]$/.test(kept) ? kept.slice(0, -1) : kept) + mark;
}
