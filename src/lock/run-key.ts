import { UsageError } from '../errors.js';
import { redactUrls } from '../redact/url.js';

/** The release's name, or a digest of what has to be done, is much shorter. */
const LONGEST_CHARACTERS = 1_000;
/** The key is a primary key, and PostgreSQL takes no more than this in a row of an index (2704 bytes, with what it adds). */
const LONGEST_BYTES = 2_600;

const EXAMPLE = 'Name the work in a few words, for example --once "$GIT_SHA".';

/**
 * Checks the name of work that needs to succeed once. It is never cut: two keys that begin alike are two works.
 * @throws {UsageError} when it is empty or too long, or holds what PostgreSQL cannot store.
 */
export function checkRunKey(key: string): string {
  if (key === '') throw new UsageError('--once is empty.', EXAMPLE);
  if (/[\0\p{Surrogate}]/u.test(key)) {
    throw new UsageError(
      '--once holds a character that PostgreSQL cannot store (NUL, or half of one).',
      EXAMPLE,
    );
  }
  // A character may be two UTF-16 units, so that this many units are certainly enough to decide.
  if (key.length > 2 * LONGEST_CHARACTERS || Array.from(key).length > LONGEST_CHARACTERS) {
    throw new UsageError(`--once is longer than ${LONGEST_CHARACTERS} characters.`, EXAMPLE);
  }
  if (Buffer.byteLength(key) > LONGEST_BYTES) {
    throw new UsageError(`--once is longer than ${LONGEST_BYTES} bytes (in UTF-8).`, EXAMPLE);
  }
  if (redactUrls(key) !== key) {
    throw new UsageError(
      '--once holds the credentials of a URL, and a run key is stored and shown.',
      EXAMPLE,
    );
  }
  return key;
}
