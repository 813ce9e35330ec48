/** A word of a shell script: its position, and its text without quotes. */
export interface ShellWord {
  start: number;
  end: number;
  value: string;
}

const SEPARATOR = /[\s;&|<>()]/;

/**
 * Splits a script into words, following sh's quoting. Operators (`;`, `|`, `&&`, newlines, brackets) are left out,
 * a substitution `$(...)` is part of its word.
 * @returns null when a quote or a substitution is not closed.
 */
export function shellWords(script: string): ShellWord[] | null {
  const words: ShellWord[] = [];
  let position = 0;
  while (position < script.length) {
    if (SEPARATOR.test(script.charAt(position))) {
      position++;
      continue;
    }
    const word = readWord(script, position);
    if (word === null) return null;
    words.push(word);
    position = word.end;
  }
  return words;
}

function readWord(script: string, start: number): ShellWord | null {
  let value = '';
  let position = start;
  while (position < script.length && !SEPARATOR.test(script.charAt(position))) {
    const end = endOfPart(script, position);
    if (end === null) return null;
    value += unquoted(script.slice(position, end));
    position = end;
  }
  return { start, end: position, value };
}

/** The end of a quoted string, a substitution, or a character at `position`. Null when it is not closed. */
function endOfPart(script: string, position: number): number | null {
  switch (script.charAt(position)) {
    case '\\':
      return Math.min(position + 2, script.length);
    case "'":
      return closing(script, position + 1, { open: '', close: "'", escape: '' });
    case '"':
      return closing(script, position + 1, { open: '', close: '"', escape: '\\' });
    case '`':
      return closing(script, position + 1, { open: '', close: '`', escape: '\\' });
    case '$':
      if (script.charAt(position + 1) !== '(') return position + 1;
      return closing(script, position + 2, { open: '(', close: ')', escape: '\\' });
    default:
      return position + 1;
  }
}

function closing(
  script: string,
  from: number,
  { open, close, escape }: { open: string; close: string; escape: string },
): number | null {
  let depth = 1;
  for (let position = from; position < script.length; position++) {
    const character = script.charAt(position);
    if (character === escape) position++;
    else if (character === open) depth++;
    else if (character === close && --depth === 0) return position + 1;
  }
  return null;
}

function unquoted(part: string): string {
  if (part.startsWith("'")) return part.slice(1, -1);
  if (part.startsWith('"')) return part.slice(1, -1).replace(/\\([\\"$`])/g, '$1');
  if (part.startsWith('\\')) return part.slice(1);
  return part;
}

/** Quotes a word so that sh reads the same word; `***` stays as it is. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word.replaceAll('***', '_')) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
