import { createHash } from 'node:crypto';
import { redactWords } from './argument.js';
import { redactSecrets } from './secrets.js';

/**
 * The SHA-256 in hexadecimal of a whole command line without its credentials: of its words as JSON, so that `a b` and
 * `a` `b`
 * are two commands, and before anything is cut or escaped for readers. A changed password does not change the
 * command.
 */
export function commandIdentity(argv: readonly string[], secrets: readonly string[] = []): string {
  const words = redactWords(argv).map((word) => redactSecrets(word, secrets));
  return createHash('sha256').update(JSON.stringify(words)).digest('hex');
}
