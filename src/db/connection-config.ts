import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { UsageError } from '../errors.js';
import type { ConnectionTarget } from './connect.js';
import { readTls, reasonOf } from './connection-tls.js';
import { filled, parseConnectionUrl, type UrlParts } from './connection-url.js';
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
  ...['host', 'port', 'user', 'password', 'dbname', 'database', 'options'],
  ...['sslmode', 'ssl', 'sslrootcert', 'sslcert', 'sslkey', 'sslpassword'],
]);
/** PostgreSQL's own, and of no consequence here: leaving them out is not worth a word. */
const PASSED_OVER = new Set([
  ...[
    'application_name',
    'fallback_application_name',
    'client_encoding',
    'connect_timeout',
    'channel_binding',
  ],
  ...['keepalives', 'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'tcp_user_timeout'],
  ...['gssencmode', 'sslcompression', 'sslnegotiation', 'sslsni'],
]);
const NAMING = ['PGHOST', 'PGPORT', 'PGDATABASE', 'PGUSER'];

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
      'No database is named.',
      'Set DATABASE_URL or give --database-url postgres://user@host:5432/database (or set PGHOST, PGDATABASE and the like).',
    );
  }
  const parameter = (name: string): string | undefined => filled(url?.parameters.get(name));

  const user = parameter('user') ?? url?.user ?? variable('PGUSER') ?? systemUser();
  const database =
    parameter('dbname') ?? parameter('database') ?? url?.database ?? variable('PGDATABASE') ?? user;
  const password = parameter('password') ?? url?.password ?? variable('PGPASSWORD');
  const hosts = pair(
    parameter('host')?.split(',') ?? url?.hosts ?? variable('PGHOST')?.split(',') ?? ['localhost'],
    parameter('port')?.split(',') ?? url?.ports ?? variable('PGPORT')?.split(',') ?? [],
  );
  const { ssl, tls, ignored } = readTls(
    {
      sslmode: parameter('sslmode') ?? (parameter('ssl') === undefined ? variable('PGSSLMODE') : undefined),
      ssl: parameter('ssl'),
      sslrootcert: parameter('sslrootcert') ?? variable('PGSSLROOTCERT'),
      sslcert: parameter('sslcert') ?? variable('PGSSLCERT'),
      sslkey: parameter('sslkey') ?? variable('PGSSLKEY'),
      sslpassword: parameter('sslpassword'),
    },
    readFile,
  );
  const names = [...(url?.parameters.keys() ?? [])].filter(
    (name) => !READ.has(name) && !PASSED_OVER.has(name),
  );
  const passwords = [password, url?.password, url?.rawPassword, parameter('sslpassword'), env.PGPASSWORD];
  return {
    hosts,
    database,
    user,
    password,
    ssl,
    tls,
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

/** Hosts and ports as libpq pairs them: one port for each host, or one for all. */
function pair(hosts: string[], ports: string[]): Address[] {
  if (ports.length > 1 && ports.length !== hosts.length) {
    throw new UsageError(
      `There are ${hosts.length} hosts for the database, and ${ports.length} ports.`,
      'Give one port for each host, or one for all.',
    );
  }
  return hosts.map((host, index) => {
    const port = filled(ports.length === 1 ? ports[0] : ports[index]) ?? '5432';
    if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
      throw new UsageError(
        'The port of the database is not a number from 1 to 65535.',
        'The usual port is 5432.',
      );
    }
    return { host: filled(host) ?? 'localhost', port: Number(port) };
  });
}

function describeAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
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
