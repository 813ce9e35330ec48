import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { customAlphabet, nanoid } from 'nanoid';
import { shorten } from '../text/shorten.js';
import { checkRunKey } from './run-key.js';

/** A public id, and its proof, which leaves this process only as a bound parameter. */
export interface Identity {
  instanceId: string;
  secret: string;
}

/** The description of a holder or waiter that the lock stores and shows. */
export interface ClientDescription {
  host: string;
  pid: number;
  /** The command line, redacted. */
  command: string | null;
  runKey: string | null;
  /** Identifies the whole command, which is cut above: see commandIdentity(). null: unknown. */
  commandSha256: string | null;
}

/** A lease as its holder knows it. */
export interface Lease {
  /** Names the lease. It is never used again. */
  instanceId: string;
  /** Grows with every acquisition. */
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

/** A lease as the database describes it. Moments are in milliseconds since 1970, on the database's clock. */
export interface HolderDescription {
  /** Names the lease. It is never used again. */
  instanceId: string;
  /** Grows with every acquisition. */
  fencingToken: number;
  /** The host name of the holder. */
  host: string | null;
  /** The process id of the holder, on its host. */
  pid: number | null;
  /** The database role that acquired it. */
  dbRole: string;
  /** What is being run, redacted. */
  command: string | null;
  /** What `--once` names; null: no run key. */
  runKey: string | null;
  /** When it was acquired. */
  lockedAtMs: number;
  /** When it expires, or expired, unless it is released first. */
  expiresAtMs: number;
  /** How long ago it was acquired. */
  heldMs: number;
  /** How long it still lasts; negative when it has expired. */
  expiresInMs: number;
  /** When it was released; null: it was not. */
  releasedAtMs: number | null;
}

/** An option takes no separate word that begins with `-` as its value: an id begins with a letter or a digit. */
const firstCharacter = customAlphabet('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz', 1);

export function newIdentity(): Identity {
  return { instanceId: firstCharacter() + nanoid(20), secret: randomBytes(32).toString('base64url') };
}

const TAG = 'migrate-lock:';

/** Limits of the stored texts; the SQL functions have the same ones. A run key has its own limit. */
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
 * The same for a database whose encoding cannot store every character (LATIN1), or may cut a character in half (SQL_ASCII).
 * Texts that are only shown are escaped. A run key is compared, so it is not: one that cannot be stored is an error.
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

/** PostgreSQL stores no NUL and no lone surrogate in a text. */
function storable(text: string): string {
  return text.replace(/[\0\p{Surrogate}]/gu, '\ufffd');
}

/** The `application_name` of the sessions of a lease. */
export function applicationName(...instanceIds: readonly string[]): string {
  return TAG + instanceIds.join(':');
}

/** The instance ids in such a name; none when it is another name. */
export function taggedInstances(name = ''): string[] {
  return name.startsWith(TAG) ? name.slice(TAG.length).split(':') : [];
}
