import { shorten } from '../text/shorten.js';
import { redactWords } from './argument.js';
import { redactSecrets } from './secrets.js';
import { quoteWord } from './shell-words.js';

/** Enough to recognize a command, and few enough for an audit line to go through a pipe in one piece. */
const MAX_LENGTH = 1_000;

/**
 * A command line for people and logs: quoted as a shell would need it, with the credentials that stand in it replaced by
 * `***`, at most 1000 characters long. What an argument means is parsed (URLs, options, assignments, connection strings, JSON,
 * scripts in `sh -c`); where that is in doubt, more is redacted rather than less. What is known to be `secrets` goes wherever it
 * stands.
 */
export function redactCommand(argv: readonly string[], secrets: readonly string[] = []): string {
  const shown = redactWords(argv).map(quoteWord).join(' ');
  return shorten(redactSecrets(shown, secrets), MAX_LENGTH);
}

/** As redactCommand(), of a command line, or whatever else is told of the work, that is one text already. */
export function redactText(text: string, secrets: readonly string[] = []): string {
  return redactSecrets(redactWords([text])[0] ?? '', secrets);
}
