import path from 'node:path';
import { UsageError } from '../errors.js';
import type { SslMode, TlsMaterial, TlsWish } from './tls.js';

export interface TlsSettings {
  sslmode: string | undefined;
  /** What drivers other than libpq take instead of sslmode. */
  ssl: string | undefined;
  sslrootcert: string | undefined;
  sslcert: string | undefined;
  sslkey: string | undefined;
  sslpassword: string | undefined;
  /** The user's folder, in which libpq looks for .postgresql/root.crt, postgresql.crt and postgresql.key. */
  home: string | undefined;
}

type Wish = { mode: SslMode; verifiesNever?: boolean } | undefined;

const SSLMODES = new Map<string, Wish>([
  ['disable', { mode: 'disable' }],
  // Plain text first, TLS if the server insists: the other way round costs nothing and encrypts more.
  ['allow', { mode: 'prefer' }],
  ['prefer', { mode: 'prefer' }],
  ['require', { mode: 'require' }],
  ['no-verify', { mode: 'require', verifiesNever: true }],
  ['verify-ca', { mode: 'verify-ca' }],
  ['verify-full', { mode: 'verify-full' }],
]);
const SSL_WORDS = new Map<string, Wish>([
  ...SSLMODES,
  ...['true', '1', 'on', 'yes'].map((word): [string, Wish] => [word, { mode: 'require' }]),
  ...['false', '0', 'off', 'no'].map((word): [string, Wish] => [word, { mode: 'disable' }]),
]);

/**
 * How to encrypt, from what libpq and other drivers call it. Files are read here.
 * @returns with the names of settings that mean nothing to us.
 * @throws {UsageError} on an unknown sslmode and on a file that cannot be read.
 */
export function readTls(
  settings: TlsSettings,
  readFile: (path: string) => string,
): TlsWish & { ignored: string[] } {
  const ignored: string[] = [];
  const wish = wishOf(settings, ignored);
  if (wish?.mode === 'disable') return { ssl: 'disable', tls: {}, ignored };

  const material: TlsMaterial = {};
  const { sslpassword } = settings;
  const inHome = (name: string): string | undefined => presentInHome(settings.home, name, readFile);
  const canVerify = wish !== undefined && wish.mode !== 'prefer' && wish.verifiesNever !== true;
  const sslrootcert = settings.sslrootcert ?? (canVerify ? inHome('root.crt') : undefined);
  const usesSystemRoots = sslrootcert === 'system';
  if (sslrootcert !== undefined && !usesSystemRoots) {
    material.ca = readPem('sslrootcert', sslrootcert, readFile);
  }
  const sslcert = settings.sslcert ?? inHome('postgresql.crt');
  const sslkey = settings.sslkey ?? inHome('postgresql.key');
  if (sslcert !== undefined && sslkey !== undefined) {
    material.cert = readPem('sslcert', sslcert, readFile);
    material.key = readPem('sslkey', sslkey, readFile);
    if (sslpassword !== undefined) material.passphrase = sslpassword;
  } else if (settings.sslcert !== undefined) {
    ignored.push('sslcert'); // Prisma's: another thing, relative to another folder
  }
  let ssl = wish?.mode ?? 'prefer';
  // As libpq: who names a root certificate means it.
  if (usesSystemRoots) ssl = 'verify-full';
  if (ssl === 'require' && material.ca !== undefined && wish?.verifiesNever !== true) ssl = 'verify-ca';
  return { ssl, tls: material, ignored };
}

function wishOf({ sslmode, ssl }: TlsSettings, ignored: string[]): Wish {
  if (sslmode !== undefined) {
    const wish = SSLMODES.get(sslmode);
    if (wish !== undefined) return wish;
    throw new UsageError(
      'sslmode in the database URL (or PGSSLMODE) has a value that PostgreSQL does not know.',
      `It is one of ${[...SSLMODES.keys()].join(', ')}.`,
    );
  }
  const wish = ssl === undefined ? undefined : SSL_WORDS.get(ssl.toLowerCase());
  if (ssl !== undefined && wish === undefined) ignored.push('ssl');
  return wish;
}

function readPem(name: string, path: string, readFile: (path: string) => string): string {
  try {
    return readFile(path);
  } catch (cause) {
    throw new UsageError(
      `The file that ${name} names cannot be read: ${path} (${reasonOf(cause)}).`,
      'The path is taken as it is: not relative to another configuration file, and ~ is not expanded.',
      cause,
    );
  }
}

/** Where libpq looks when nothing is named. One that is not there, or not ours to read, is none. */
function presentInHome(
  home: string | undefined,
  name: string,
  readFile: (path: string) => string,
): string | undefined {
  if (home === undefined) return undefined;
  const file = path.join(home, '.postgresql', name);
  try {
    readFile(file);
    return file;
  } catch {
    return undefined;
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'it is not readable';
}
