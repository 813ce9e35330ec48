import { shorten } from '../text/shorten.js';
import {
  NO_STATEMENT,
  openingOf,
  skipComment,
  skipDollarQuoted,
  skipQuoted,
  skipString,
} from './sql-tokens.js';

/** Enough to recognize a statement. */
const MAX_LENGTH = 300;
/** Longer statements are read only so far, as the server too cuts them (track_activity_query_size). */
const MAX_READ = 4_000;

const IDENTIFIER = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const PARAMETER = /\$\d+/y;
const NUMBER =
  /0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\d[\d_]*(?:\.(?!\.)[\d_]*)?(?:[eE][+-]?\d[\d_]*)?|\.\d[\d_]*(?:[eE][+-]?\d[\d_]*)?/y;
const LETTER = /[A-Za-z_\u0080-\uffff]/;
/** What touches the quotes of no string or name in a statement that is meant as it is read. */
const TOUCHING = /[\w$'"\u0080-\uffff]/;
/** A no-break space is a letter to PostgreSQL. */
const SPACE = /[ \t\n\r\f\v]/;
/** After PASSWORD: the column of a table, not the attribute of a role. */
const AFTER_COLUMN = /[,.);]/;
/** The rest of a name in quotes. One that is not closed may contain literals, and a connection string is no name. */
const NAME = /^(?:[^"=:@]|""){1,63}"$/;

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
  /** After SET: the name of a setting of an extension or of the application. Its value may be a bare word. */
  let setting: 'begun' | 'dotted' | undefined;
  const token = (pattern: RegExp, at: number): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  // Many sessions are shown at once, in a process that has a deadline to keep: what is cut off is not read.
  for (let at = 0; at < text.length && shown.length <= MAX_LENGTH + 2;) {
    const character = text.charAt(at);
    if (SPACE.test(character)) {
      if (!SPACE.test(text.charAt(at + 1))) shown += ' ';
      at++;
      continue;
    }
    if (isRole && word === 'password') {
      // Without quotes it is an error, and still someone's password. Where it ends is not known.
      if (!/^null\b/i.test(text.slice(at, at + 5)) && !AFTER_COLUMN.test(character)) return `${shown}?`;
      word = '';
    }
    const opening = openingOf(text, at, escapes);
    if (opening !== undefined) {
      const { kind, bodyAt } = opening;
      switch (kind) {
        case 'comment':
          at = skipComment(text, at);
          shown += '/*?*/';
          continue;
        case 'string': {
          const end = skipString(text, bodyAt, opening.escapes);
          // An apostrophe that was not doubled: what is meant as a literal is outside of it.
          if (touches(text, at, end)) return null;
          shown += '?';
          at = end;
          break;
        }
        case 'dollar':
          at = skipDollarQuoted(text, at, bodyAt);
          shown += '?';
          break;
        case 'identifier': {
          const end = skipQuoted(text, bodyAt);
          if (touches(text, at, end)) return null;
          shown += NAME.test(text.slice(bodyAt, end)) ? text.slice(at, end) : '?';
          at = end;
          break;
        }
      }
      word = '';
      continue;
    }
    const name = token(IDENTIFIER, at);
    if (name !== undefined) {
      word = name.toLowerCase();
      if (word === 'to' && setting === 'dotted') return `${shown}${name} ?`;
      if (word === 'set') setting = 'begun';
      shown += name;
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
    if (character === '=' && setting === 'dotted') return `${shown}= ?`;
    setting = character === '.' && setting !== undefined ? 'dotted' : undefined;
    shown += character;
    word = '';
    at++;
  }
  return shown.trim();
}

function touches(text: string, from: number, to: number): boolean {
  return TOUCHING.test(text.charAt(from - 1)) || TOUCHING.test(text.charAt(to));
}
