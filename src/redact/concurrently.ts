import {
  NO_STATEMENT,
  openingOf,
  skipComment,
  skipDollarQuoted,
  skipQuoted,
  skipString,
} from './sql-tokens.js';

/**
 * Every form with CONCURRENTLY has it among its first words: ALTER TABLE IF EXISTS ONLY a.b.c DETACH PARTITION d.e.f CONCURRENTLY. The
 * forms that a cancellation leaves half done are the only statement of their text: PostgreSQL refuses them after another one.
 */
const MOST_WORDS = 16;
/** With what a statement that has it begins. */
const FIRST_WORDS = new Set(['create', 'drop', 'reindex', 'alter', 'refresh']);
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;

/**
 * Whether a statement of pg_stat_activity has the keyword CONCURRENTLY: CREATE, DROP or REINDEX INDEX, DETACH PARTITION, REFRESH
 * MATERIALIZED VIEW. As it is a reserved word, it is no name without quotes.
 * @param isCut the server may have cut the text.
 * @returns undefined when that is not certain: there is no text, or it was cut too early.
 */
export function isConcurrently(statement: string, isCut: boolean): boolean | undefined {
  if (NO_STATEMENT.test(statement)) return undefined;
  // Whether a backslash escapes in '...' is a setting of the session.
  const readings = [firstWords(statement, false), firstWords(statement, true)];
  if (readings.some((words) => words.includes('concurrently'))) return true;
  return isCut && readings.some((words) => mayFollow(words, statement)) ? undefined : false;
}

/** Whether the keyword may follow in the part that was cut off. */
function mayFollow(words: readonly string[], statement: string): boolean {
  const [first] = words;
  // The first word itself may be cut.
  if (first === undefined || statement.toLowerCase().endsWith(first)) return true;
  return FIRST_WORDS.has(first) && words.length < MOST_WORDS;
}

/** Outside of quotes and comments, in lower case. A name in quotes is `""`. */
function firstWords(text: string, escapes: boolean): string[] {
  const words: string[] = [];
  for (let at = 0; at < text.length && words.length < MOST_WORDS;) {
    const opening = openingOf(text, at, escapes);
    if (opening !== undefined) {
      switch (opening.kind) {
        case 'comment':
          at = skipComment(text, at);
          break;
        case 'string':
          at = skipString(text, opening.bodyAt, opening.escapes);
          break;
        case 'dollar':
          at = skipDollarQuoted(text, at, opening.bodyAt);
          break;
        case 'identifier':
          at = skipQuoted(text, opening.bodyAt);
          words.push('""');
          break;
      }
      continue;
    }
    WORD.lastIndex = at;
    const word = WORD.exec(text)?.[0];
    if (word !== undefined) words.push(word.toLowerCase());
    at += word?.length ?? 1;
  }
  return words;
}
