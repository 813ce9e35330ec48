import { isSecretName } from './secret-names.js';
import { REDACTED } from './secrets.js';

/**
 * One pair at a time, each match beginning at the end of the one before: the text before the value, the name, the
 * value.
 */
const STYLES = [
  // ADO.NET and others: Host=h;User Id=u;Password="a;b"
  /(\s*([A-Za-z_][\w .-]*)=\s*)("(?:[^"]|"")*"|'(?:[^']|'')*'|[^;]*)(?=;|$)[;\s]*/y,
  // libpq: host=h password='it\'s' dbname=d
  /(\s*([A-Za-z_]\w*)\s*=\s*)('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|)(?=\s|$)\s*/sy,
];

/** A connection string of pairs, with its secrets redacted; null when the whole text is not one. */
export function redactPairs(text: string): string | null {
  // Text that matches both forms is redacted as both.
  return STYLES.reduce<string | null>(
    (redacted, style) => redactStyle(redacted ?? text, style) ?? redacted,
    null,
  );
}

function redactStyle(text: string, style: RegExp): string | null {
  let redacted = '';
  let pairs = 0;
  style.lastIndex = 0;
  for (let end = 0; end < text.length; end = style.lastIndex) {
    const match = style.exec(text);
    if (match === null) return null;
    const [whole, before = '', name = '', value = ''] = match;
    redacted += isSecretName(name) ? before + REDACTED + whole.slice(before.length + value.length) : whole;
    pairs++;
  }
  return pairs > 1 ? redacted : null;
}
