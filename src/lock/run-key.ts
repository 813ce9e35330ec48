import { UsageError } from '../errors.js';
import { whyNotFixed } from '../text/fixed-name.js';
import { redactUrls } from '../redact/url.js';

/** The release's name, or a digest of what has to be done, is much shorter. */
const LONGEST_CHARACTERS = 1_000;
/** The key is a primary key, and PostgreSQL takes no more than this in a row of an index (2704 bytes, with what it adds). */
const LONGEST_BYTES = 2_600;

const GOOD_KEY =
  'A good key stays the same for one piece of work and is another one for the next, as the git commit of the release: "$GIT_SHA".';

/**
 * Checks the name of work that needs to succeed once. It is never cut: two keys that begin alike are two works. `name` is
 * where it was given.
 * @throws {UsageError} when it is empty or too long, holds what PostgreSQL cannot store, or names nothing fixed: the work of
 * the next release would then be taken for done.
 */
export function checkRunKey(key: string, name = '--once'): string {
  const problem = problemOf(key);
  if (problem !== undefined) throw new UsageError(`${name} ${problem}.`, GOOD_KEY);
  return key;
}

function problemOf(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (/[\0\p{Surrogate}]/u.test(key)) {
    return 'holds a character that PostgreSQL cannot store (NUL, or half of one)';
  }
  // A character may be two UTF-16 units, so that this many units are certainly enough to decide.
  if (key.length > 2 * LONGEST_CHARACTERS || Array.from(key).length > LONGEST_CHARACTERS) {
    return `is longer than ${LONGEST_CHARACTERS} characters`;
  }
  if (Buffer.byteLength(key) > LONGEST_BYTES) return `is longer than ${LONGEST_BYTES} bytes (in UTF-8)`;
  if (redactUrls(key) !== key) return 'holds the credentials of a URL, and a run key is stored and shown';
  return whyNotFixed(key);
}
