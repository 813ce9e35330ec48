import { REDACTED } from './secrets.js';
import { isSecretName } from './secret-names.js';

/** Schemes where the name before `@` is a user; elsewhere (https://TOKEN@host) it is often the secret itself. */
const NAMES_USER = /(?:postgres|postgresql|postgis|pgsql|mysql|mariadb|ssh|sftp)(?:\+\w{1,20})?$/i;

/**
 * Redacts the credentials of the URL in the text. The URL is taken to reach to the text's end: a password may contain
 * anything, and an unescaped `@`, `/` or `#` must not reveal a part of it. In doubt, more is redacted.
 */
export function redactUrls(text: string): string {
  const sign = text.indexOf('://');
  if (sign === -1) return text;
  const start = sign + '://'.length;
  const namesUser = NAMES_USER.test(text.slice(Math.max(0, sign - 30), sign));
  return text.slice(0, start) + redactQuery(redactUserinfo(text.slice(start), namesUser));
}

function redactUserinfo(rest: string, namesUser: boolean): string {
  const at = rest.lastIndexOf('@');
  if (at === -1) return rest;
  const userinfo = rest.slice(0, at);
  const colon = userinfo.indexOf(':');
  if (colon !== -1) {
    const user = userinfo.slice(0, colon);
    const isUser = namesUser && /^[\w.%+-]*$/.test(user);
    return `${isUser ? user : REDACTED}:${REDACTED}${rest.slice(at)}`;
  }
  // An `@` in the path or the query, without a password before it: https://host/@scope/name
  if (/[/?#]/.test(userinfo) || namesUser) return rest;
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
