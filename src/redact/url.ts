import { REDACTED } from './secrets.js';
import { isSecretName } from './secret-names.js';

const SCHEME = /[A-Za-z][A-Za-z0-9+.-]*:\/\//;
/** Where a lone name before `@` is a user; elsewhere (https://TOKEN@host) it is often the secret itself. */
const NAMES_USER = /^(postgres|postgresql|postgis|pgsql|mysql|mariadb|ssh|sftp)(\+\w+)?:\/\/$/i;

/**
 * Redacts the credentials of every URL in the text. A URL is taken to reach to the text's end: a password may hold anything,
 * and what is written wrongly (an unescaped `@`, `/` or `#`) has to stay secret too. So in doubt too much is redacted.
 */
export function redactUrls(text: string): string {
  const start = text.search(SCHEME);
  if (start === -1) return text;
  const scheme = /^[^/]*\/\//.exec(text.slice(start))?.[0] ?? '';
  const rest = text.slice(start + scheme.length);
  return text.slice(0, start) + scheme + redactQuery(redactUserinfo(scheme, rest));
}

function redactUserinfo(scheme: string, rest: string): string {
  const at = rest.lastIndexOf('@');
  if (at === -1) return rest;
  const userinfo = rest.slice(0, at);
  const colon = userinfo.indexOf(':');
  if (colon !== -1) {
    const user = userinfo.slice(0, colon);
    // Only a plain name is shown: a second scheme or a path here is none.
    return `${/^[\w.%+-]*$/.test(user) ? user : REDACTED}:${REDACTED}${rest.slice(at)}`;
  }
  // An `@` of the path or the query, without any password before it: https://host/@scope/name
  if (/[/?#]/.test(userinfo) || NAMES_USER.test(scheme)) return rest;
  return REDACTED + rest.slice(at);
}

/** The values of secret parameters. A value reaches to the next `&name=`, not to a mere `&`. */
function redactQuery(rest: string): string {
  const question = rest.indexOf('?');
  if (question === -1) return rest;
  const parameters = rest.slice(question + 1).split(/&(?=[\w.%-]+=)/);
  const redacted = parameters.map((parameter) => {
    const equals = parameter.indexOf('=');
    const name = parameter.slice(0, equals);
    return equals > 0 && isSecretName(name) ? `${name}=${REDACTED}` : parameter;
  });
  return `${rest.slice(0, question)}?${redacted.join('&')}`;
}
