import { UsageError } from '../errors.js';

/** What a connection URL says, decoded. What it does not say is undefined. */
export interface UrlParts {
  hosts: string[] | undefined;
  /** One for each host; empty where none is given. */
  ports: string[] | undefined;
  user: string | undefined;
  password: string | undefined;
  /** The password as it stands in the URL: for redaction, as others may print the URL. */
  rawPassword: string | undefined;
  database: string | undefined;
  parameters: Map<string, string>;
}

const SCHEME = /^(?:jdbc:)?(?:postgres|postgresql|postgis|pgsql|pgx5?)(?:\+\w+)?:\/\//i;
const HINT =
  'It has to look like postgres://user:password@host:5432/database. In the user and the password, special characters ' +
  'are written in percent-encoding: @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25.';

/**
 * Reads postgres://user:password@host:port,host:port/database?name=value, as libpq does, which takes several hosts and none (a URL
 * object takes neither). More is refused than by libpq: where an unescaped character could make a part of the password look
 * like something else, it must not end up in a message or a host's name.
 * @param origin how to call the URL in a message.
 * @throws {UsageError} which repeats no part of the URL.
 */
export function parseConnectionUrl(text: string, origin: string): UrlParts {
  const fail: (reason: string) => never = (reason) => {
    throw new UsageError(`${origin} is not a PostgreSQL URL: ${reason}.`, HINT);
  };
  const url = text.trim();
  if (url === '') fail('it is empty');
  if (/^["']/.test(url)) fail('it begins with a quotation mark');
  // eslint-disable-next-line no-control-regex -- a line break in a URL file is what this is about
  if (/[\u0000-\u001f\u007f]/.test(url)) fail('it contains a line break or another control character');
  if (/^\w+\s*=/.test(url)) fail('it is a list of keywords');
  const scheme = SCHEME.exec(url)?.[0] ?? fail('it does not begin with postgres://');

  const { authority, path, query } = split(url.slice(scheme.length));
  const at = authority.lastIndexOf('@');
  const [rawUser, rawPassword] = cut(authority.slice(0, Math.max(at, 0)), ':');
  const hostList = authority.slice(at + 1);
  if (/[@#]/.test(hostList + path) || path.slice(1).includes('/')) {
    fail('a special character is not encoded');
  }
  // An @ here may well end a password whose beginning was taken for a host. Without any @ before, it may belong to these.
  const suspicious = at === -1 ? /(?:^|&)(?!user=|password=|host=)[^&]*@/ : /@/;
  if (query.includes('#') || suspicious.test(query)) {
    fail('a special character is not encoded');
  }

  const decode = (encoded: string): string => {
    try {
      const decoded = decodeURIComponent(encoded);
      return decoded.includes('\0') ? fail('it contains %00') : decoded;
    } catch (error) {
      if (error instanceof UsageError) throw error;
      return fail('a % in it is not followed by the two hexadecimal digits of an encoded character');
    }
  };
  const parameters = new Map<string, string>();
  for (const pair of query.split('&').filter((part) => part !== '')) {
    const [name, value] = cut(pair, '=');
    if (value === undefined || !/^[A-Za-z_][\w.-]{0,62}$/.test(name))
      return fail('its parameters cannot be read');
    parameters.set(name, decode(value));
  }
  const hosts = hostList.split(',').map((entry) => {
    const match = /^(?:\[([\da-f:.%]+)\]|([^:[\]\s]*))(?::(\d*))?$/i.exec(entry);
    if (match === null) return fail('the host and the port cannot be read');
    return { host: decode(match[1] ?? match[2] ?? ''), port: match[3] ?? '' };
  });
  return {
    hosts: nonEmpty(hosts.map(({ host }) => host)),
    ports: nonEmpty(hosts.map(({ port }) => port)),
    user: filled(decode(rawUser)),
    password: filled(decode(rawPassword ?? '')),
    rawPassword,
    database: filled(decode(path.slice(1))),
    parameters,
  };
}

function split(rest: string): { authority: string; path: string; query: string } {
  const end = rest.search(/[/?]/);
  const authority = end === -1 ? rest : rest.slice(0, end);
  const [path, query = ''] = cut(rest.slice(authority.length), '?');
  return { authority, path, query };
}

/** The text before and after the first `sign`; only the text when there is none. */
function cut(text: string, sign: string): [string, string?] {
  const index = text.indexOf(sign);
  return index === -1 ? [text] : [text.slice(0, index), text.slice(index + 1)];
}

/** As libpq: empty is as good as not given. */
export function filled(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function nonEmpty(entries: string[]): string[] | undefined {
  return entries.some((entry) => entry !== '') ? entries : undefined;
}
