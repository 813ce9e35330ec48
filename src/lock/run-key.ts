import { UsageError } from '../errors.js';
import { whyNotFixed } from '../text/fixed-name.js';
import { redactUrls } from '../redact/url.js';

/** The name of a release, or a digest, is much shorter. */
const LONGEST_CHARACTERS = 1_000;
/** The key is a primary key, and PostgreSQL limits an index row to 2704 bytes. */
const LONGEST_BYTES = 2_600;

const GOOD_KEY =
  'Use a key that is the same for one piece of work and another one for the next, such as the git commit of the release: "$GIT_SHA".';

/**
 * Checks a run key, which is never cut. `name` is the option or variable.
 * @throws {UsageError} when it is empty or too long, cannot be stored, or is the same for every release (`latest`): the work
 * of the next release would count as done.
 */
export function checkRunKey(key: string, name = '--once'): string {
  const problem = runKeyProblem(key);
  if (problem !== undefined) throw new UsageError(`${name} ${problem}.`, GOOD_KEY);
  return key;
}

function runKeyProblem(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (/[\0\p{Surrogate}]/u.test(key)) {
    return 'contains a character that PostgreSQL cannot store (NUL, or a lone surrogate)';
  }
  // A character has at most two UTF-16 units.
  if (key.length > 2 * LONGEST_CHARACTERS || Array.from(key).length > LONGEST_CHARACTERS) {
    return `is longer than ${LONGEST_CHARACTERS} characters`;
  }
  if (Buffer.byteLength(key) > LONGEST_BYTES) return `is longer than ${LONGEST_BYTES} bytes (in UTF-8)`;
  if (redactUrls(key) !== key) return 'contains the credentials of a URL, and a run key is stored and shown';
  return whyNotFixed(key);
}
