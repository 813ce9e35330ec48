import { UsageError } from '../../errors.js';
import { isHarmless, isKnown } from './harmless-parameters.js';
import { canonical, LIBPQ } from './libpq-parameters.js';
import { hasTemplate, hasVariable, hasWindowsVariable, type ValueKind } from './unexpanded.js';
import { readScheme, type Scheme } from './url-scheme.js';

/** The decoded parts of a connection URL. A part that is missing is undefined. */
export interface UrlParts {
  scheme: Scheme;
  hosts: string[] | undefined;
  /** One for each host; empty where none is given. */
  ports: string[] | undefined;
  user: string | undefined;
  password: string | undefined;
  /** The password as the URL has it, for redaction: other programs may print the URL. */
  rawPassword: string | undefined;
  database: string | undefined;
  /** Under libpq's names. */
  parameters: Map<string, string>;
  /** It has the signs of a user or a password (`:@`), but no user, no password and no host. */
  hasOnlyEmptyParts: boolean;
}

const FORM = 'It has to look like postgres://user:password@host:5432/database.';
const ENCODING =
  `${FORM} In the user and the password, special characters ` +
  'are written in percent-encoding: @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25.';
const ALONE = 'Give the URL alone, without a name, quotation marks or anything else around it.';
const EXPAND =
  'Check that the variable is set where the URL is put together, and that something replaces it there. A $ that is meant is written %24.';

/** @throws {UsageError} which repeats no part of the URL. */
type Fail = (problem: string, hint?: string) => never;

/**
 * Reads postgres://user:password@host:port,host:port/database?name=value, as libpq does, which takes several hosts and
 * none (a URL object takes neither). It refuses more than libpq: where an unescaped character makes a part of the
 * password look like another part, it must not appear in a message or a host's name.
 * @param origin the URL's name in a message.
 * @throws {UsageError} which names the wrong part and repeats none.
 */
export function parseConnectionUrl(text: string, origin: string): UrlParts {
  const fail: Fail = (problem, hint = FORM) => {
    throw new UsageError(`${origin} is not a PostgreSQL URL: ${problem}.`, hint);
  };
  const url = text.trim();
  checkWhole(url, fail);
  const scheme = readScheme(url);
  if ('problem' in scheme) return fail(scheme.problem);

  const { authority, path, query } = split(url.slice(scheme.length));
  const at = authority.lastIndexOf('@');
  const [rawUser, rawPassword] = cut(authority.slice(0, Math.max(at, 0)), ':');
  const hostList = authority.slice(at + 1);
  // The host would be this machine, and the name that was meant a part of the password.
  if (hostList === '' && authority.slice(0, Math.max(at, 0)).includes('@'))
    fail('a special character in its user or password is not encoded', ENCODING);
  const rawDatabase = path.slice(1).replace(/\/+$/, '');
  if (/[@#]/.test(hostList + path))
    fail('a special character in its user or password is not encoded', ENCODING);
  if (rawDatabase.includes('/'))
    fail("its database's name, or else its password, has a / that is not encoded", ENCODING);
  if (query.includes('#')) fail('a # in it is not encoded', ENCODING);

  const decode = (encoded: string, part: string, kind: ValueKind = 'name'): string => {
    if (hasVariable(encoded, kind)) fail(`a variable in its ${part} was not expanded`, EXPAND);
    return decodePart(encoded, part, fail);
  };
  const parameters = readParameters(query, at !== -1, decode, fail);
  const places = hostList.split(',').map((entry) => {
    const match =
      /^(?:\[([\da-f:.%]+)\]|([^:[\]\s]*))(?::(.*))?$/i.exec(entry) ?? fail('its host cannot be read');
    const [, address, name = '', port = ''] = match;
    const host = decode(address ?? name, 'host', 'address');
    if (port.includes(':')) fail('its host cannot be read (an IPv6 address stands in brackets)');
    if (!/^\d*$/.test(decode(port, 'port', 'address'))) fail('its port is not a number');
    return { host, port };
  });
  const user = filled(decode(rawUser, 'user'));
  const password = filled(decode(rawPassword ?? '', 'password', 'secret'));
  const hosts = nonEmpty(places.map(({ host }) => host));
  const named = ['user', 'password', 'host', 'hostaddr', 'service'].some((name) => parameters.get(name));
  return {
    scheme,
    hosts,
    ports: nonEmpty(places.map(({ port }) => port)),
    user,
    password,
    rawPassword,
    database: filled(decode(rawDatabase, "database's name")),
    parameters,
    hasOnlyEmptyParts:
      at !== -1 && !named && user === undefined && password === undefined && hosts === undefined,
  };
}

function checkWhole(url: string, fail: Fail): void {
  if (url === '') fail('it is empty');
  if (/^["']/.test(url)) fail('it begins with a quotation mark', ALONE);
  if (/^(?:export\s+)?[A-Za-z_]\w*(?:\s*=\s*|:\s+)["']?[a-z][\w+.:-]*:\/\//i.test(url))
    fail('it is an assignment, as NAME=postgres://...', ALONE);
  if (/^(?:export\s+)?\w+\s*=/.test(url)) fail('it is a list of keywords or an assignment');
  if (hasTemplate(url) || /^\$\w+|^%\w+%/.test(url)) fail('a variable in it was not expanded', EXPAND);
  // eslint-disable-next-line no-control-regex -- a line break in a URL file is what this is about
  if (/[\u0000-\u001f\u007f]/.test(url)) fail('it contains a line break or another control character', ALONE);
}

function decodePart(encoded: string, part: string, fail: Fail): string {
  let decoded: string;
  try {
    decoded = decodeURIComponent(encoded);
  } catch {
    if (hasWindowsVariable(encoded)) fail(`a variable in its ${part} was not expanded`, EXPAND);
    if (/%(?![\da-f]{2})/i.test(encoded)) {
      const problem = `a % in its ${part} is not followed by the two hexadecimal digits of an encoded character`;
      fail(problem, 'A % that is meant is written %25.');
    }
    return fail(
      `its ${part} has percent-encoded bytes that are not UTF-8`,
      'Encode the character as UTF-8: é, for example, is %C3%A9 and not %E9.',
    );
  }
  return decoded.includes('\0') ? fail(`its ${part} contains %00`) : decoded;
}

type Decode = (encoded: string, part: string, kind?: ValueKind) => string;

function readParameters(
  query: string,
  hasUserinfo: boolean,
  decode: Decode,
  fail: Fail,
): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&').filter((part) => part !== '')) {
    const [rawName, rawValue] = cut(pair, '=');
    checkForPassword(rawName, rawValue, hasUserinfo, fail);
    // A part that cannot be a name may be the end of a password, and is not repeated.
    const written = decode(rawName, 'parameters');
    if (!/^[A-Za-z_][\w.-]{0,62}(?:\[[\w.-]{0,62}\])*$/.test(written)) fail('its parameters cannot be read');
    const name = canonical(written);
    if (rawValue === undefined && !isHarmless(name))
      fail(LIBPQ.has(name) ? `its parameter ${name} has no value` : 'its parameters cannot be read');
    const value = decode(rawValue ?? '', `parameter ${name}`, LIBPQ.get(name)?.kind ?? 'text');
    if (value === '' && LIBPQ.has(name) && LIBPQ.get(name)?.mayBeEmpty !== true)
      fail(`its parameter ${name} has no value`);
    parameters.set(name, together(name, parameters.get(name), value, fail));
  }
  return withPortsApart(parameters, fail);
}

/** An @ may end a password whose beginning was read as a host; but `application_name=deploy@ci` is valid. */
function checkForPassword(rawName: string, rawValue = '', hasUserinfo: boolean, fail: Fail): void {
  const mayHoldAt = isKnown(rawName) && (hasUserinfo || LIBPQ.has(canonical(rawName)));
  if (rawName.includes('@') || (rawValue.includes('@') && !mayHoldAt))
    fail('a special character in its user or password is not encoded', ENCODING);
}

/** SQLAlchemy repeats `host` and `port`. Any other repeated parameter is ambiguous. */
function together(name: string, before: string | undefined, value: string, fail: Fail): string {
  if (before === undefined || before === value || !LIBPQ.has(name)) return value;
  return ['host', 'hostaddr', 'port'].includes(name)
    ? `${before},${value}`
    : fail(`its parameter ${name} is there twice, with different values`);
}

/** SQLAlchemy writes `host=name:port`. An IPv6 address has more than one colon. */
function withPortsApart(parameters: Map<string, string>, fail: Fail): Map<string, string> {
  const hosts = parameters.get('host')?.split(',') ?? [];
  const pairs = hosts.map((entry) => /^([\w.-]+):(\d*)$/.exec(entry) ?? [entry, entry, '']);
  if (pairs.every(([whole, host]) => whole === host)) return parameters;
  if (parameters.has('port')) fail('a port stands in its parameter host, and in port');
  parameters.set('host', pairs.map(([, host]) => host).join(','));
  return parameters.set('port', pairs.map(([, , port]) => port).join(','));
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

/** As libpq: an empty value counts as not given. */
export function filled(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function nonEmpty(entries: string[]): string[] | undefined {
  return entries.some((entry) => entry !== '') ? entries : undefined;
}
