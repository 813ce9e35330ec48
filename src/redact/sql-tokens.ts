/** The quoted tokens of PostgreSQL's SQL, as its scanner (scan.l) reads them. A token that is not closed reaches to the end of the text. */

/** Instead of a statement the server shows these. */
export const NO_STATEMENT = /^\s*$|^<.*>$/;

export interface Opening {
  kind: 'comment' | 'string' | 'dollar' | 'identifier';
  /** After the prefix and the opening quote. */
  bodyAt: number;
  /** A string in which a backslash escapes. */
  escapes: boolean;
}

/** `E'`, `U&'`, `B'`, `X'`, `N'`, `"`, `U&"` */
const QUOTED = /(?:[eE]|[uU]&|[bBxX]|[nN])?'|(?:[uU]&)?"/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?(?:\$|$)/y;
/** A string that has no escapes under any setting. */
const NEVER_ESCAPES = /^[bBxX]/;

/** What begins at `at`; undefined: nothing quoted. `escapes`: a backslash escapes in `'...'` and `N'...'`. */
export function openingOf(text: string, at: number, escapes: boolean): Opening | undefined {
  if (text.startsWith('--', at) || text.startsWith('/*', at))
    return { kind: 'comment', bodyAt: at + 2, escapes: false };
  const quoted = matchAt(QUOTED, text, at);
  if (quoted !== undefined) {
    const bodyAt = at + quoted.length;
    if (quoted.endsWith('"')) return { kind: 'identifier', bodyAt, escapes: false };
    const isEscaping = /^[eE]/.test(quoted) || (escapes && !NEVER_ESCAPES.test(quoted));
    return { kind: 'string', bodyAt, escapes: isEscaping };
  }
  const tag = matchAt(DOLLAR, text, at);
  return tag === undefined ? undefined : { kind: 'dollar', bodyAt: at + tag.length, escapes: false };
}

/** @returns the position after a comment, which may contain others. */
export function skipComment(text: string, at: number): number {
  if (text.startsWith('--', at)) return lineEnd(text, at);
  let depth = 1;
  for (at += 2; at < text.length;) {
    if (text.startsWith('/*', at)) depth++;
    else if (text.startsWith('*/', at)) depth--;
    else {
      at++;
      continue;
    }
    at += 2;
    if (depth === 0) return at;
  }
  return text.length;
}

/** @returns the position after a string, with the parts that continue it on the next lines: these are read as the first is. */
export function skipString(text: string, bodyAt: number, escapes: boolean): number {
  for (let at = bodyAt; at < text.length; at++) {
    const character = text.charAt(at);
    if (escapes && character === '\\') at++;
    else if (character === "'") {
      if (text.charAt(at + 1) === "'") at++;
      else {
        const next = continuation(text, at + 1);
        if (next === undefined) return at + 1;
        at = next;
      }
    }
  }
  return text.length;
}

export function skipDollarQuoted(text: string, at: number, bodyAt: number): number {
  const tag = text.slice(at, bodyAt);
  // A tag that was cut: what follows is cut too.
  if (!tag.endsWith('$') || tag === '$') return text.length;
  const end = text.indexOf(tag, bodyAt);
  return end === -1 ? text.length : end + tag.length;
}

export function skipQuoted(text: string, bodyAt: number): number {
  for (let at = bodyAt; at < text.length; at++) {
    if (text.charAt(at) !== '"') continue;
    if (text.charAt(at + 1) !== '"') return at + 1;
    at++;
  }
  return text.length;
}

/** The position of the quote that continues a string: after blanks with a line break, and comments up to a line's end. */
function continuation(text: string, at: number): number | undefined {
  let hasBreak = false;
  for (; at < text.length; at++) {
    if (text.startsWith('--', at)) at = lineEnd(text, at);
    const character = text.charAt(at);
    if (character === '\n' || character === '\r') hasBreak = true;
    else if (character === "'") return hasBreak ? at : undefined;
    else if (!/[ \t\f\v]/.test(character)) return undefined;
  }
  return undefined;
}

function lineEnd(text: string, at: number): number {
  const length = text.slice(at).search(/[\n\r]/);
  return length === -1 ? text.length : at + length;
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
