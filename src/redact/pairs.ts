import { isSecretName } from './secret-names.js';
import { REDACTED } from './secrets.js';

const QUOTED = /'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"/s.source;

/** One pair at a time, each match beginning where the one before ended: what stands before the value, the name, the value. */
const STYLES = [
  // libpq: host=h password='it\'s' dbname=d
  new RegExp(
    `(\\s*([A-Za-z_]\\w*)\\s*=\\s*)(${QUOTED}|(?:[^\\s'"\\\\]|\\\\.)(?:[^\\s\\\\]|\\\\.)*|)(?=\\s|$)\\s*`,
    'sy',
  ),
  // ADO.NET and others: Host=h;User Id=u;Password="a;b"
  new RegExp(`(\\s*([A-Za-z_][\\w .-]*)=\\s*)(${QUOTED}|[^;]*)(?=;|$)[;\\s]*`, 'sy'),
];

/** A connection string made of pairs, with its secrets redacted; null when the text, as a whole, is none. */
export function redactPairs(text: string): string | null {
  for (const style of STYLES) {
    const redacted = redactStyle(text, style);
    if (redacted !== null) return redacted;
  }
  return null;
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
