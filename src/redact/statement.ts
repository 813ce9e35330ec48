import { shorten } from '../text/shorten.js';
import { openingOf, skipComment, skipDollarQuoted, skipQuoted, skipString } from './sql-tokens.js';

/** Enough to recognize a statement. */
const MAX_LENGTH = 300;
/** Longer statements are read only so far, as the server too cuts them (track_activity_query_size). */
const MAX_READ = 4_000;

/** Instead of a statement the server shows these. */
const NO_STATEMENT = /^\s*$|^<.*>$/;
const IDENTIFIER = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const PARAMETER = /\$\d+/y;
const NUMBER =
  /0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\d[\d_]*(?:\.(?!\.)[\d_]*)?(?:[eE][+-]?\d[\d_]*)?|\.\d[\d_]*(?:[eE][+-]?\d[\d_]*)?/y;
const LETTER = /[A-Za-z_\u0080-\uffff]/;
const SPACE = /\s/;

/**
 * A statement of pg_stat_activity for people: its literals, numbers, dollar-quoted texts and comments are replaced by `?`. It may
 * be cut anywhere. Whether a backslash escapes in `'...'` is a setting of its session (standard_conforming_strings): it is read
 * both ways.
 * @returns null when both do not say the same, or when it is not SQL: then nothing of it is shown.
 */
export function redactStatement(statement: string): string | null {
  if (NO_STATEMENT.test(statement)) return null;
  const text = statement.slice(0, MAX_READ);
  const redacted = redactAs(text, { escapes: false });
  if (redacted === null || redacted !== redactAs(text, { escapes: true })) return null;
  return shorten(redacted, MAX_LENGTH);
}

/** `escapes`: a backslash escapes in `'...'`. */
function redactAs(text: string, { escapes }: { escapes: boolean }): string | null {
  let shown = '';
  let word = '';
  let isRole = false;
  const token = (pattern: RegExp, at: number): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  for (let at = 0; at < text.length;) {
    const character = text.charAt(at);
    if (SPACE.test(character)) {
      if (!shown.endsWith(' ')) shown += ' ';
      at++;
      continue;
    }
    const opening = openingOf(text, at, escapes);
    if (opening !== undefined) {
      const { kind, bodyAt } = opening;
      switch (kind) {
        case 'comment':
          at = skipComment(text, at);
          shown += '/*?*/';
          continue;
        case 'string':
          at = skipString(text, bodyAt, opening.escapes);
          shown += '?';
          break;
        case 'dollar':
          at = skipDollarQuoted(text, at, bodyAt);
          shown += '?';
          break;
        case 'identifier': {
          const end = skipQuoted(text, bodyAt);
          // A name has at most 63 bytes. PASSWORD "x" is an error, and still someone's password.
          const isName = end - bodyAt <= 64 && !(isRole && word === 'password');
          shown += isName ? text.slice(at, end) : '?';
          at = end;
          break;
        }
      }
      word = '';
      continue;
    }
    const name = token(IDENTIFIER, at);
    if (name !== undefined) {
      // PASSWORD x is an error too. Where it ends is not known.
      if (isRole && word === 'password' && !/^null$/i.test(name)) return `${shown}?`;
      shown += name;
      word = name.toLowerCase();
      isRole ||= word === 'role' || word === 'user' || word === 'group';
      at += name.length;
      continue;
    }
    const literal = token(PARAMETER, at) ?? token(NUMBER, at);
    if (literal !== undefined) {
      at += literal.length;
      // 12abc: servers differ in where the number ends.
      if (LETTER.test(text.charAt(at))) return null;
      shown += literal.startsWith('$') ? literal : '?';
      word = '';
      continue;
    }
    // A lone $, and what no operator contains.
    if (!/[-+*/<>=~!@#%^&|`?()[\],;:.{}\\]/.test(character)) return null;
    shown += character;
    word = '';
    at++;
  }
  return shown.trim();
}
