/** The kinds of values that differ in whether a `$` or a `%` is a normal part. */
export type ValueKind = 'address' | 'name' | 'text' | 'secret';

/**
 * Forms of templates: ${NAME}, $(NAME), #{NAME}, {{ name }}, <%= name %>, and what Go's templates write for no value.
 */
const TEMPLATE = /\$\{[A-Za-z_]|\$\([A-Za-z_]|#\{[A-Za-z_]|\{\{|<%|<no value>/;
const WHOLE = /^(?:\$\{[^}]+\}|\$\([^)]+\)|\{\{.*\}\}|<%.*%>|\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%)$/;
const WINDOWS = /%[A-Za-z_]\w*%/;
/** `$` is valid in a name (`app$1`), but not in a host. */
const BARE: Record<ValueKind, RegExp | null> = {
  address: /\$[A-Za-z_]/,
  name: /(?:^|[^A-Za-z0-9])\$[A-Za-z_]/,
  text: null, // search_path="$user" is one of PostgreSQL's own
  secret: /^\$[A-Z_][A-Z0-9_]*$/,
};

/**
 * Whether the text of a URL has an unexpanded variable. A URL object encodes the braces, but not the characters before
 * them; where all are encoded, they are meant.
 */
export function hasTemplate(url: string): boolean {
  return TEMPLATE.test(url.replace(/([$#])%7B/gi, '$1{'));
}

/** The same for one part of a URL: a `$` that is meant is written %24. */
export function hasVariable(rawPart: string, kind: ValueKind): boolean {
  return BARE[kind]?.test(rawPart) === true;
}

/** %NAME%; only for text that is not percent-encoded. */
export function hasWindowsVariable(text: string): boolean {
  return WINDOWS.test(text);
}

/** Whether a value that is not encoded (from an environment variable or a service file) has an unexpanded variable. */
export function isUnexpanded(value: string, kind: ValueKind): boolean {
  if (kind === 'secret') return WHOLE.test(value);
  return TEMPLATE.test(value) || hasVariable(value, kind) || (kind !== 'text' && WINDOWS.test(value));
}
