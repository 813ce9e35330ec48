import { shorten } from '../text/shorten.js';
import { redactWords } from './argument.js';
import { redactSecrets } from './secrets.js';
import { quoteWord } from './shell-words.js';

/** Enough to recognize a command, and short enough to write a line of stdout to a pipe in one piece. */
const MAX_LENGTH = 1_000;

/**
 * A command line for people and logs: quoted for a shell, with its credentials replaced by
 * `***`, at most 1000 characters long. Arguments are parsed (URLs, options, assignments, connection strings, JSON,
 * scripts in `sh -c`); in doubt, more is redacted. Known `secrets` are redacted everywhere.
 */
export function redactCommand(argv: readonly string[], secrets: readonly string[] = []): string {
  const shown = redactWords(argv).map(quoteWord).join(' ');
  return shorten(redactSecrets(shown, secrets), MAX_LENGTH);
}

/** Like redactCommand(), for a command line or another description of the work that is one text already. */
export function redactText(text: string, secrets: readonly string[] = []): string {
  return redactSecrets(redactWords([text])[0] ?? '', secrets);
}
