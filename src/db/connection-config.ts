import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { UsageError } from '../errors.js';
import type { ConnectionTarget } from './connect.js';
import { checkSessionAttributes, describeAddress, pairHosts } from './connection-hosts.js';
import { readTls, reasonOf } from './connection-tls.js';
import { filled, parseConnectionUrl, type UrlParts } from './connection-url.js';
import { readPasswordFile } from './password-file.js';
import { readAuthWish } from './required-auth.js';
import type { Address } from './socket.js';

export interface ConnectionSource {
  /** A URL; before all others. */
  url?: string | undefined;
  /** A file that holds the URL. */
  urlFile?: string | undefined;
  /** DATABASE_URL, and libpq's PG* variables. */
  env: Record<string, string | undefined>;
  readFile?: (path: string) => string;
}

/** Where the database is and who we are to it, complete. */
export interface ConnectionConfig extends ConnectionTarget {
  hosts: Address[];
  /** What must not be printed; see redactSecrets(). */
  secrets: string[];
  /** Names of what was given and means nothing to us: parameters of other drivers. They are not sent to the server. */
  ignored: string[];
  /** For people: user@host:port/database. */
  describe: string;
}

const READ = new Set([
  ...['host', 'hostaddr', 'port', 'user', 'password', 'passfile', 'dbname', 'database', 'options'],
  ...['target_session_attrs', 'channel_binding', 'require_auth'],
  ...['sslmode', 'ssl', 'sslrootcert', 'sslcert', 'sslkey', 'sslpassword'],
]);
/** PostgreSQL's own, and of no consequence here: leaving them out is not worth a word. */
const PASSED_OVER = new Set([
  ...['application_name', 'fallback_application_name', 'client_encoding', 'connect_timeout'],
  ...['keepalives', 'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'tcp_user_timeout'],
  ...['gssencmode', 'sslcompression', 'sslnegotiation', 'sslsni'],
]);
const NAMING = ['PGHOST', 'PGHOSTADDR', 'PGPORT', 'PGDATABASE', 'PGUSER'];

/**
 * The database to use: a URL, or else libpq's PG* variables, which also complete a URL. Unlike libpq the default host is
 * localhost over TCP, and to name no database at all is an error: a lock in the wrong database excludes nobody.
 * @throws {UsageError} whose message holds nothing of a URL's secrets.
 */
export function readConnectionConfig(source: ConnectionSource): ConnectionConfig {
  const { env, readFile = (path: string) => readFileSync(path, 'utf8') } = source;
  const variable = (name: string): string | undefined => filled(env[name]);
  const url = readUrl(source, readFile);
  if (url === undefined && NAMING.every((name) => variable(name) === undefined)) {
    throw new UsageError(
      variable('PGSERVICE') === undefined
        ? 'No database is named.'
        : 'No database is named: PGSERVICE is not supported.',
      'Set DATABASE_URL or give --database-url postgres://user@host:5432/database (or set PGHOST, PGDATABASE and the like).',
    );
  }
  const parameter = (name: string): string | undefined => filled(url?.parameters.get(name));

  // libpq takes one for a name too, and then everybody is told it, password and all.
  const misplaced = NAMING.find((name) => variable(name)?.includes('://'));
  if (url === undefined && misplaced !== undefined) {
    throw new UsageError(`${misplaced} holds a URL.`, 'Set DATABASE_URL to it instead.');
  }

  const user = parameter('user') ?? url?.user ?? variable('PGUSER') ?? systemUser();
  const database =
    parameter('dbname') ?? parameter('database') ?? url?.database ?? variable('PGDATABASE') ?? user;
  const password = parameter('password') ?? url?.password ?? variable('PGPASSWORD');
  const named = parameter('host')?.split(',') ?? url?.hosts;
  const addresses = parameter('hostaddr') ?? (named === undefined ? variable('PGHOSTADDR') : undefined);
  const addressed = pairHosts(
    named ?? (parameter('hostaddr') === undefined ? variable('PGHOST')?.split(',') : undefined),
    parameter('port')?.split(',') ?? url?.ports ?? variable('PGPORT')?.split(',') ?? [],
    addresses?.split(','),
  );
  checkSessionAttributes(parameter('target_session_attrs') ?? variable('PGTARGETSESSIONATTRS'));
  const home = variable('HOME');
  const passwordFile =
    parameter('passfile') ??
    variable('PGPASSFILE') ??
    (home === undefined ? undefined : path.join(home, '.pgpass'));
  const file = password === undefined && passwordFile !== undefined ? readPasswordFile(passwordFile) : null;
  const hosts = addressed.map((address) => {
    const own = file?.passwordFor(address, database, user);
    return own === undefined ? address : { ...address, password: own };
  });
  const { ssl, tls, ignored } = readTls(
    {
      sslmode: parameter('sslmode') ?? (parameter('ssl') === undefined ? variable('PGSSLMODE') : undefined),
      ssl: parameter('ssl'),
      sslrootcert: parameter('sslrootcert') ?? variable('PGSSLROOTCERT'),
      sslcert: parameter('sslcert') ?? variable('PGSSLCERT'),
      sslkey: parameter('sslkey') ?? variable('PGSSLKEY'),
      sslpassword: parameter('sslpassword'),
      home,
    },
    readFile,
  );
  const auth = readAuthWish({
    channelBinding: parameter('channel_binding') ?? variable('PGCHANNELBINDING'),
    requireAuth: parameter('require_auth') ?? variable('PGREQUIREAUTH'),
  });
  const names = [...(url?.parameters.keys() ?? [])].filter(
    (name) => !READ.has(name) && !PASSED_OVER.has(name),
  );
  const passwords = [password, url?.password, url?.rawPassword, parameter('sslpassword'), env.PGPASSWORD];
  for (const host of hosts) passwords.push(host.password);
  return {
    hosts,
    database,
    user,
    password,
    ...(file === null ? {} : { passwordFile: { path: file.path, unusable: file.unusable } }),
    ssl,
    tls,
    auth,
    options: parameter('options') ?? variable('PGOPTIONS'),
    // One that is also the name of something public would only blot that out.
    secrets: [...new Set(passwords)].filter(
      (secret): secret is string =>
        secret !== undefined && secret !== '' && ![user, database].includes(secret),
    ),
    ignored: [...names, ...ignored, ...(url === undefined && variable('PGSERVICE') ? ['PGSERVICE'] : [])],
    describe: `${user}@${hosts.map(describeAddress).join(',')}/${database}`,
  };
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
