import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { customAlphabet, nanoid } from 'nanoid';
import { shorten } from '../text/shorten.js';
import { checkRunKey } from './run-key.js';

/** Who asks for the lease: a public name, and the proof that never leaves the process but as a bound parameter. */
export interface Identity {
  instanceId: string;
  secret: string;
}

/** What is told about a holder or waiter to those who look. */
export interface ClientDescription {
  host: string;
  pid: number;
  /** The command line, redacted. */
  command: string | null;
  runKey: string | null;
  /** Identifies the command, of which the text above may be cut: see commandIdentity(). null: it is not known. */
  commandSha256: string | null;
}

/** The right to run, as its holder knows it. */
export interface Lease {
  instanceId: string;
  fencingToken: number;
  /** The database role that acquired it. */
  dbRole: string;
  /** On the database's clock. */
  lockedAt: Date;
  /** On the database's clock. */
  expiresAt: Date;
  /** On the holder's monotonic clock (`performance.now()`); never later than `expiresAt`. */
  endsAtMs: number;
}

/** Somebody else's lease, as the database describes it. */
export interface HolderDescription {
  instanceId: string;
  fencingToken: number;
  host: string | null;
  pid: number | null;
  dbRole: string;
  command: string | null;
  runKey: string | null;
  lockedAtMs: number;
  expiresAtMs: number;
  heldMs: number;
  expiresInMs: number;
  releasedAtMs: number | null;
}

/** An option takes no separate word that begins with `-` as its value: an id begins with a letter or a digit. */
const firstCharacter = customAlphabet('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', 1);

export function newIdentity(): Identity {
  return { instanceId: firstCharacter() + nanoid(20), secret: randomBytes(32).toString('base64url') };
}

const TAG = 'migrate-lock:';

/** What is stored of a name and of a command line; the SQL functions have the same limits. A run key has its own. */
const LONGEST_HOST = 255;
const LONGEST_COMMAND = 2_000;

/** @throws {UsageError} when the run key cannot be stored. */
export function describeThisProcess(
  command: string | null,
  runKey: string | null = null,
  commandSha256: string | null = null,
): ClientDescription {
  return {
    host: shorten(storable(hostname()), LONGEST_HOST),
    pid: process.pid,
    command: command === null ? null : shorten(storable(command), LONGEST_COMMAND),
    runKey: runKey === null ? null : checkRunKey(runKey),
    commandSha256,
  };
}

/**
 * The same for a database whose encoding cannot store every character (LATIN1), or where a cut may leave half of one
 * (SQL_ASCII): what is only shown is escaped. A run key is compared, so it stays: one that cannot be stored is an error.
 */
export function inAscii(client: ClientDescription): ClientDescription {
  const { host, command } = client;
  return {
    ...client,
    host: escaped(host, LONGEST_HOST),
    command: command === null ? null : escaped(command, LONGEST_COMMAND),
  };
}

function escaped(text: string, length: number): string {
  const ascii = text.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return shorten(ascii, length, '... (cut)');
}

/** PostgreSQL has no NUL in a text, and no half of a character that UTF-16 writes in two. */
function storable(text: string): string {
  return text.replace(/[\0\p{Surrogate}]/gu, '\ufffd');
}

/** The tag of the sessions that work under a lease: `application_name` in pg_stat_activity. */
export function applicationName(...instanceIds: readonly string[]): string {
  return TAG + instanceIds.join(':');
}

/** The instance ids in such a tag; none when it is another name. */
export function taggedInstances(name = ''): string[] {
  return name.startsWith(TAG) ? name.slice(TAG.length).split(':') : [];
}
