import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { UsageError } from '../../errors.js';
import type { ConnectionTarget } from '../connection.js';
import { checkDemands, readConnectTimeoutMs } from './connection-demands.js';
import { describeAddress, isSocket, pairHosts } from './connection-hosts.js';
import { readSettings, type ConnectionSettings, type Env } from './connection-settings.js';
import { readTls } from './connection-tls.js';
import { filled, parseConnectionUrl, type UrlParts } from './connection-url.js';
import { isHarmless, isSensitive, nearestParameter } from './harmless-parameters.js';
import { LIBPQ } from './libpq-parameters.js';
import { readPasswordFile } from './password-file.js';
import { reasonOf } from './pem-files.js';
import { readAuthWish } from './required-auth.js';
import type { Address } from '../socket.js';

export interface ConnectionSource {
  /** A URL, which overrides all others. */
  url?: string | undefined;
  /** A file that holds the URL. */
  urlFile?: string | undefined;
  /** DATABASE_URL, and libpq's PG* variables. */
  env: Env;
  readFile?: (path: string) => string;
  isSocket?: (path: string) => boolean;
}

/** The complete configuration: where the database is, and which user connects. */
export interface ConnectionConfig extends ConnectionTarget {
  hosts: Address[];
  /** The user's time limit for one connection attempt; undefined: none is set. */
  connectTimeoutMs: number | undefined;
  /** Values that must not be printed; see redactSecrets(). */
  secrets: string[];
  /** Names of ignored settings: parameters of other drivers. They are not sent to the server. */
  ignored: string[];
  /** For messages: user@host:port/database. */
  describe: string;
}

const NAMING = ['PGHOST', 'PGHOSTADDR', 'PGPORT', 'PGDATABASE', 'PGUSER', 'PGSERVICE'];
const NAME_IT =
  'Set DATABASE_URL or give --database-url postgres://user@host:5432/database (or set PGHOST, PGDATABASE and the like).';

/**
 * Finds the database: a URL, or else libpq's PG* variables, which also complete a URL; a service comes in between.
 * Unlike libpq, it is an error to name no database, or to use an unknown parameter that may say where the database is:
 * a lock in the wrong database excludes no other run.
 * @throws {UsageError} whose message contains no secret of a URL.
 */
export function readConnectionConfig(source: ConnectionSource): ConnectionConfig {
  const { env, readFile = (path: string) => readFileSync(path, 'utf8') } = source;
  const url = readUrl(source, readFile);
  checkNamed(url, env);
  const settings = readSettings(url, env, readFile);
  const { get } = settings;
  const leftOut = url === undefined ? [] : withoutMeaning(url, settings);

  const user = get('user') ?? systemUser();
  const database = get('dbname') ?? user;
  // libpq takes a URL for a name, and messages would show it with its password.
  for (const name of ['dbname', 'user'])
    if (get(name)?.includes('://') === true)
      throw new UsageError(`${settings.nameOf(name)} holds a URL.`, 'Set DATABASE_URL to it instead.');
  const password = get('password');
  const addressed = readHosts(settings, source.isSocket ?? isSocket);
  checkDemands(
    settings,
    addressed.some(({ host }) => host.startsWith('/')),
  );
  const home = filled(env.HOME);
  const passwordFile = get('passfile') ?? (home === undefined ? undefined : path.join(home, '.pgpass'));
  const file = password === undefined && passwordFile !== undefined ? readPasswordFile(passwordFile) : null;
  const hosts = addressed.map((address) => {
    const own = file?.passwordFor(address, database, user);
    return own === undefined ? address : { ...address, password: own };
  });
  const { ignored, ...security } = readTls(settings, url?.scheme, home, readFile);
  const passwords = [password, url?.password, url?.rawPassword, get('sslpassword'), env.PGPASSWORD];
  for (const host of hosts) passwords.push(host.password);
  const options = get('options');
  return {
    hosts,
    database,
    user,
    password,
    ...(passwordFile === undefined || password !== undefined
      ? {}
      : { passwordFile: passwordFileState(passwordFile, file) }),
    ...security,
    auth: readAuthWish(settings),
    options,
    ...(options === undefined ? {} : { optionsFrom: settings.nameOf('options') }),
    connectTimeoutMs: readConnectTimeoutMs(settings),
    // Redacting a password that equals a public name would only hide that name.
    secrets: [...new Set(passwords)].filter(
      (secret): secret is string =>
        secret !== undefined && secret !== '' && ![user, database].includes(secret),
    ),
    ignored: [...leftOut, ...ignored],
    describe: `${user}@${hosts.map(describeAddress).join(',')}/${database}`,
  };
}

/** A lock in the wrong database excludes no other run: nothing is guessed. */
function checkNamed(url: UrlParts | undefined, env: Env): void {
  const isNamed = NAMING.some((name) => filled(env[name]) !== undefined);
  if (url === undefined && !isNamed) throw new UsageError('No database is named.', NAME_IT);
  // libpq would use it as a name and print it, with its password.
  const misplaced = NAMING.find((name) => env[name]?.includes('://'));
  if (url === undefined && misplaced !== undefined)
    throw new UsageError(`${misplaced} holds a URL.`, 'Set DATABASE_URL to it instead.');
  if (url === undefined) return;
  const { user, password, hosts, database, parameters, hasOnlyEmptyParts } = url;
  const saysNothing =
    [user, password, hosts, database].every((part) => part === undefined) && !parameters.size;
  if (hasOnlyEmptyParts || (saysNothing && !isNamed)) {
    throw new UsageError(
      'The database URL names no user, no password and no host: they are empty.',
      `Check that the variables of which it is put together are set. ${NAME_IT}`,
    );
  }
}

/**
 * The ignored parameters of the URL. One that may say where the database is, or how securely to connect, is not
 * ignored, and neither is one with a similar name.
 * @throws {UsageError} which names it.
 */
function withoutMeaning(url: UrlParts, { layerOf }: ConnectionSettings): string[] {
  const foreign = [...url.parameters.keys()].filter((name) => !LIBPQ.has(name));
  const saysWhere = ['host', 'hostaddr', 'service'].some((name) => layerOf(name) === 'url');
  const refused = foreign.filter(
    (name) =>
      !isHarmless(name) &&
      (isSensitive(name) || nearestParameter(name) !== undefined || (!saysWhere && !name.includes('['))),
  );
  if (refused.length === 0) return foreign;
  const meant = [...new Set(refused.map(nearestParameter).filter((name) => name !== undefined))];
  throw new UsageError(
    `The database URL has a parameter that is not supported: ${refused.join(', ')}.`,
    (meant.length === 0 ? '' : `Did you mean ${meant.join(' and ')}? `) +
      'It may say where the database is or how securely to connect, and a lock in another database would exclude no other run. ' +
      'Say it with the parameters of libpq (host, port, sslmode, ...), in a URL of its own: MIGRATE_LOCK_DATABASE_URL.',
  );
}

function readHosts(
  { get, layerOf, nameOf }: ConnectionSettings,
  isSocket: (path: string) => boolean,
): Address[] {
  const [host, hostaddr] = [layerOf('host'), layerOf('hostaddr')];
  // Tools that use libpq would connect to that address, all others to the host.
  if (host === 'url' && hostaddr !== 'url' && hostaddr !== undefined) {
    throw new UsageError(
      `The database URL names a host, and ${nameOf('hostaddr')} an address to use in its place.`,
      'Give only one of them, or both in the URL (hostaddr).',
    );
  }
  return pairHosts({
    hosts: hostaddr === 'url' && host !== 'url' ? undefined : get('host')?.split(','),
    ports: get('port')?.split(',') ?? [],
    addresses: get('hostaddr')?.split(','),
    isSocket,
  });
}

function passwordFileState(
  path: string,
  file: ReturnType<typeof readPasswordFile>,
): { path: string; unusable: string | null } {
  return file === null ? { path, unusable: 'it is not there' } : { path: file.path, unusable: file.unusable };
}

function readUrl(
  { url, urlFile, env }: ConnectionSource,
  readFile: (path: string) => string,
): UrlParts | undefined {
  if (url !== undefined) return parseConnectionUrl(url, 'The database URL');
  if (urlFile !== undefined) {
    try {
      return parseConnectionUrl(readFile(urlFile), `The content of ${urlFile}`);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new UsageError(
        `The file with the database URL cannot be read: ${urlFile} (${reasonOf(error)}).`,
        'Give the path of a file that holds nothing but the URL.',
        error,
      );
    }
  }
  return env.DATABASE_URL?.trim() ? parseConnectionUrl(env.DATABASE_URL, 'DATABASE_URL') : undefined;
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    throw new UsageError(
      'No database user is named, and the system has no name for the user of this process.',
      'Name it in the URL (postgres://user@host/database) or in PGUSER.',
    );
  }
}
