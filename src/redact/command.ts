import { redactWords } from './argument.js';
import { quoteWord } from './shell-words.js';

/** Enough to recognize a command, and few enough for an audit line to go through a pipe in one piece. */
const MAX_LENGTH = 1_000;

/**
 * A command line for people and logs: quoted as a shell would need it, with the credentials that stand in it replaced by
 * `***`, at most 1000 characters long. What an argument means is parsed (URLs, options, assignments, connection strings, JSON,
 * scripts in `sh -c`); where that is in doubt, more is redacted rather than less.
 */
export function redactCommand(argv: readonly string[]): string {
  const shown = redactWords(argv).map(quoteWord).join(' ');
  return shown.length <= MAX_LENGTH ? shown : `${shown.slice(0, MAX_LENGTH - 1)}…`;
}
