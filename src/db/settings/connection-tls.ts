import path from 'node:path';
import { UsageError } from '../../errors.js';
import type { ConnectionSettings } from './connection-settings.js';
import { pemAt, presentInHome, readPem, type ReadFile } from './pem-files.js';
import type { SslMode, TlsMaterial, TlsWish } from '../tls.js';

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
const YES = ['true', '1', 'on', 'yes'];
const SSL_WORDS = new Map<string, Wish>([
  ...SSLMODES,
  ...YES.map((word): [string, Wish] => [word, { mode: 'require' }]),
  ...['false', '0', 'off', 'no'].map((word): [string, Wish] => [word, { mode: 'disable' }]),
]);
const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

/**
 * The TLS settings, from the parameters of libpq and other drivers. Files are read here.
 * @param scheme what the URL's scheme says about it.
 * @param home the user's folder, in which libpq searches for .postgresql/root.crt, root.crl, postgresql.crt and
 * postgresql.key.
 * @returns with the names of ignored settings.
 * @throws {UsageError} for an unknown value, and for a file that cannot be read or has other content.
 */
export function readTls(
  settings: ConnectionSettings,
  scheme: { sslVerifies: boolean; needsTls: boolean } | undefined,
  home: string | undefined,
  readFile: ReadFile,
): TlsWish & { ignored: string[] } {
  const { get, nameOf } = settings;
  const ignored: string[] = [];
  const wish = wishOf(settings, scheme);
  const usesSystemRoots = get('sslrootcert') === 'system';
  const tlsFirst = readChoice(settings, 'sslnegotiation', ['postgres', 'direct']) === 'direct';
  const strict = get('sslaccept') === 'strict';
  if (wish?.mode === 'disable') {
    const asking = [
      ...(tlsFirst ? [nameOf('sslnegotiation')] : []),
      ...(usesSystemRoots ? [nameOf('sslrootcert')] : []),
      ...(strict ? [nameOf('sslaccept')] : []),
      ...(isYes(get('ssl')) ? [nameOf('ssl')] : []),
      ...(scheme?.needsTls === true ? ['r2dbcs:// in the database URL'] : []),
    ];
    if (asking.length === 0) return { ssl: 'disable', tls: {}, ignored };
    throw new UsageError(
      `${asking.join(' and ')} ${asking.length > 1 ? 'ask' : 'asks'} for TLS, and sslmode (or ssl) for none.`,
      'Write sslmode=verify-full, or leave it out.',
    );
  }
  const canVerify = strict || (wish !== undefined && wish.mode !== 'prefer' && wish.verifiesNever !== true);
  const material: TlsMaterial = {
    ...clientCertificate(settings, home, readFile, ignored),
    ...versions(settings),
  };
  const ca = get('sslrootcert') ?? (strict && !get('sslkey') ? get('sslcert') : undefined);
  const roots = ca ?? (canVerify ? presentInHome(home, 'root.crt', readFile) : undefined);
  if (roots !== undefined && !usesSystemRoots) material.ca = readPem('sslrootcert', roots, readFile);

  let ssl = wish?.mode ?? 'prefer';
  // As libpq: naming a root certificate asks for verification.
  if (usesSystemRoots || (strict && wish?.verifiesNever !== true)) ssl = 'verify-full';
  if (ssl === 'require' && material.ca !== undefined && wish?.verifiesNever !== true) ssl = 'verify-ca';
  const verifies = ssl === 'verify-ca' || ssl === 'verify-full';
  addRevocations(material, verifies, settings, home, readFile, ignored);
  if (tlsFirst && ssl === 'prefer') {
    throw new UsageError(
      `${nameOf('sslnegotiation')} needs TLS, and sslmode does not.`,
      'Write sslmode=require, or better verify-full, too.',
    );
  }
  const sendsName = readChoice(settings, 'sslsni', ['0', '1']) !== '0';
  return {
    ssl,
    tls: material,
    ...(sendsName ? {} : { sendsName }),
    ...(tlsFirst ? { tlsFirst } : {}),
    ignored,
  };
}

function wishOf(
  settings: ConnectionSettings,
  scheme: { sslVerifies: boolean; needsTls: boolean } | undefined,
): Wish {
  const { get, nameOf, in: within } = settings;
  const ssl = within('url', 'ssl');
  // In a URL, `ssl` counts as `sslmode`: later sources do not override it.
  const sslmode = within('url', 'sslmode') ?? (ssl === undefined ? get('sslmode') : undefined);
  if (sslmode !== undefined) return known(SSLMODES, sslmode, nameOf('sslmode'));
  if (isYes(ssl) && scheme?.sslVerifies === true) return { mode: 'verify-full' };
  if (ssl !== undefined) return known(SSL_WORDS, ssl.toLowerCase(), nameOf('ssl'));
  if (scheme?.needsTls === true) return { mode: 'verify-full' };
  const accepted = readChoice(settings, 'sslaccept', ['strict', 'accept_invalid_certs']);
  if (accepted === undefined && get('requiressl')?.startsWith('1') === true) return { mode: 'require' };
  return undefined;
}

function isYes(ssl: string | undefined): boolean {
  return ssl !== undefined && YES.includes(ssl.toLowerCase());
}

function known(modes: Map<string, Wish>, word: string, name: string): Wish {
  if (modes.has(word)) return modes.get(word);
  throw new UsageError(
    `${name} has a value that PostgreSQL does not know.`,
    `It is one of ${[...SSLMODES.keys()].join(', ')}.`,
  );
}

function readChoice(
  { get, nameOf }: ConnectionSettings,
  parameter: string,
  words: string[],
): string | undefined {
  const given = get(parameter);
  if (given === undefined || words.includes(given)) return given;
  throw new UsageError(`${nameOf(parameter)} has a value that is not known.`, `It is ${words.join(' or ')}.`);
}

function clientCertificate(
  { get, nameOf }: ConnectionSettings,
  home: string | undefined,
  readFile: ReadFile,
  ignored: string[],
): TlsMaterial {
  const [named, sslpassword] = [get('sslcert'), get('sslpassword')];
  if (get('sslcertmode') === 'disable') return {};
  const sslcert = named ?? presentInHome(home, 'postgresql.crt', readFile);
  const sslkey = get('sslkey') ?? presentInHome(home, 'postgresql.key', readFile);
  if (sslcert !== undefined && sslkey !== undefined) {
    return {
      cert: readPem('sslcert', sslcert, readFile),
      key: readPem('sslkey', sslkey, readFile),
      ...(sslpassword === undefined ? {} : { passphrase: sslpassword }),
    };
  }
  if (named === undefined) return {};
  // Prisma's is the authority's certificate, which is used only with sslaccept=strict.
  if (get('sslaccept') !== undefined) {
    if (get('sslaccept') !== 'strict') ignored.push('sslcert');
    return {};
  }
  throw new UsageError(
    `${nameOf('sslcert')} names a certificate of ours, and there is no sslkey for it.`,
    "Give its key with sslkey. The certificate of the server's authority is sslrootcert (Prisma calls it sslcert).",
  );
}

/** As libpq, default files are not looked up when nothing is verified. A named file has to exist. */
function addRevocations(
  material: TlsMaterial,
  verifies: boolean,
  { get, nameOf }: ConnectionSettings,
  home: string | undefined,
  readFile: ReadFile,
  ignored: string[],
): void {
  const given = ['sslcrl', 'sslcrldir'].filter((name) => get(name) !== undefined);
  if (!verifies) {
    ignored.push(...given);
    return;
  }
  if (get('sslcrldir') !== undefined) {
    throw new UsageError(
      `${nameOf('sslcrldir')} names a folder of revocation lists, which is not supported.`,
      'Name one file with sslcrl: it can hold several lists.',
    );
  }
  const sslcrl = get('sslcrl');
  const crl =
    sslcrl === undefined
      ? pemAt(home === undefined ? undefined : path.join(home, '.postgresql', 'root.crl'), readFile)
      : readPem('sslcrl', sslcrl, readFile);
  if (crl !== undefined) material.crl = crl;
}

function versions({ get, nameOf }: ConnectionSettings): TlsMaterial {
  const read = (parameter: string): (typeof VERSIONS)[number] | undefined => {
    const given = get(parameter)?.toLowerCase();
    const version = VERSIONS.find((name) => name.toLowerCase() === given);
    if (given === undefined || version !== undefined) return version;
    throw new UsageError(
      `${nameOf(parameter)} is no version of TLS.`,
      `It is one of ${VERSIONS.join(', ')}.`,
    );
  };
  const minVersion = read('ssl_min_protocol_version');
  const maxVersion = read('ssl_max_protocol_version');
  if (minVersion !== undefined && maxVersion !== undefined && minVersion > maxVersion) {
    throw new UsageError(
      `${nameOf('ssl_min_protocol_version')} is higher than ${nameOf('ssl_max_protocol_version')}.`,
      'Leave them out: TLSv1.2 is the lowest by default.',
    );
  }
  return {
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
  };
}
