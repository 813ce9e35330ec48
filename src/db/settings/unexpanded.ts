/** What a value is, as far as a `$` or a `%` may belong to it. */
export type ValueKind = 'address' | 'name' | 'text' | 'secret';

/** Forms of templates: ${NAME}, $(NAME), #{NAME}, {{ name }}, <%= name %>, and what Go's templates write for nothing. */
const TEMPLATE = /\$\{[A-Za-z_]|\$\([A-Za-z_]|#\{[A-Za-z_]|\{\{|<%|<no value>/;
const WHOLE = /^(?:\$\{[^}]+\}|\$\([^)]+\)|\{\{.*\}\}|<%.*%>|\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%)$/;
const WINDOWS = /%[A-Za-z_]\w*%/;
/** `$` is a legal character of a name (`app$1`), but not of a host. */
const BARE: Record<ValueKind, RegExp | null> = {
  address: /\$[A-Za-z_]/,
  name: /(?:^|[^A-Za-z0-9])\$[A-Za-z_]/,
  text: null, // search_path="$user" is one of PostgreSQL's own
  secret: /^\$[A-Z_][A-Z0-9_]*$/,
};

/**
 * Whether the text of a URL has a variable in it that nobody expanded. A URL object encodes the braces, but not what is before them;
 * where all is encoded, it is meant.
 */
export function hasTemplate(url: string): boolean {
  return TEMPLATE.test(url.replace(/([$#])%7B/gi, '$1{'));
}

/** The same for one part of a URL, as it stands there: `$` is written %24 when it is meant. */
export function hasVariable(rawPart: string, kind: ValueKind): boolean {
  return BARE[kind]?.test(rawPart) === true;
}

/** %NAME%; only for a text of which it is known that it is not percent-encoded. */
export function hasWindowsVariable(text: string): boolean {
  return WINDOWS.test(text);
}

/** Whether a value that is not encoded (of an environment variable, or of a service file) is one that nobody expanded. */
export function isUnexpanded(value: string, kind: ValueKind): boolean {
  if (kind === 'secret') return WHOLE.test(value);
  return TEMPLATE.test(value) || hasVariable(value, kind) || (kind !== 'text' && WINDOWS.test(value));
}
