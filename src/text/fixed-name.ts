/**
 * A run key or a lock's schema often comes from a variable. When that is unset or not expanded, every release would have the
 * same run key, or another lock.
 */

/** Variables and templates that were not expanded. The lengths are bounded, so that the search takes linear time. */
const UNEXPANDED = [
  // sh, compose and GitLab ($NAME, ${NAME}), Kubernetes and Azure ($(NAME)), Azure ($[NAME]), GitHub (${{ NAME }}).
  /\$[({[][^)}\]]{0,60}[)}\]]{0,2}|\$[\w@*#?!]\w{0,60}/,
  // Helm and Go templates, Ansible, Jinja.
  /\{[{%][^{}]{0,60}\}{0,2}/,
  // Octopus Deploy, Ruby.
  /#\{[^{}]{0,60}\}?/,
  // Python, a log or URL template.
  /%[({][^(){}]{0,60}[)}]?|\{[\w.:-]{0,60}\}/,
  // cmd.exe, TeamCity; not the bytes of a percent-encoded text.
  /%(?![0-9A-Fa-f]{2}%)[A-Za-z_][\w.-]{0,60}%|![A-Z_][A-Z0-9_]{1,60}!/,
  // Concourse.
  /\(\([\w ./:-]{1,60}\)\)/,
  // Go templates and Helm (<no value>, <nil>), and the place holders of a manual (<commit>).
  /<[\w .:-]{1,60}>/,
  // configure, CMake.
  /@[A-Z_][A-Z0-9_]{1,60}@/,
  // JavaScript.
  /\[object \w{1,60}\]/,
  // A command substitution that no shell has executed.
  /`[^`]{0,60}`?/,
];

/** A separator at the end of a name is what `web-$UNSET` leaves. */
const SEPARATOR = /[\s\-_:/@.+#=,;|~&]/u;

/** How programs print a missing value. */
const UNSET = new Set([
  'undefined',
  'undef',
  'unset',
  'null',
  'nil',
  'none',
  'nan',
  'unknown',
  'unspecified',
]);
/** Names that change their meaning over time. */
const MOVING = new Set(['latest', 'main', 'master', 'trunk', 'develop', 'head', 'nightly', 'snapshot']);
/** Like `MOVING`, but valid as a part of a longer name (`seed-dev`). */
const MOVING_ALONE = new Set([
  ...['dev', 'development', 'test', 'staging', 'prod', 'production', 'stable', 'edge', 'canary'],
  ...['current', 'default', 'next', 'release', 'version', 'true', 'false', 'yes', 'no', 'on', 'off'],
  ...['n/a', 'tbd'],
]);
/** git's names for what is checked out, and its references that are not a tag. */
const GIT_REFERENCE = /^(?:HEAD|@)[~^]|^refs\/(?!tags\/)/;
/** The name of a variable, without the $ before it. */
const VARIABLE = /^(?:[A-Z]+_)+(?:SHA|COMMIT|REVISION|TAG|VERSION|HASH|NUMBER|ID)$/;
/** `docker --env-file` keeps the quotation marks of NAME="value", and compose removes them. */
const QUOTED = /^(["'])[^]*\1$/;

/** The part of a text that should have been replaced by a value; undefined when there is none. */
export function findUnexpanded(text: string): string | undefined {
  return UNEXPANDED.map((pattern) => pattern.exec(text)?.[0]).find((found) => found !== undefined);
}

/**
 * Why a text cannot be a fixed name, as the rest of a sentence; undefined when it can. `mayMove`: names such as
 * `main` are allowed.
 */
export function whyNotFixed(name: string, { mayMove = false } = {}): string | undefined {
  const form = findUnexpanded(name);
  if (form !== undefined) return `contains ${form}, which was not expanded`;
  if (name.trim() === '') return 'contains only blanks';
  if (QUOTED.test(name)) return 'has quotation marks around it, which belong to a shell and not to the value';
  if (!/[\p{L}\p{N}\p{So}]/u.test(name)) return 'contains no letter and no digit';
  const [first, last] = [name.charAt(0), name.slice(-1)];
  if (SEPARATOR.test(last)) return `ends with ${JSON.stringify(last)}, as if a variable after it were empty`;
  if (SEPARATOR.test(first)) {
    return `begins with ${JSON.stringify(first)}, as if a variable before it were empty`;
  }
  const part = name.split(SEPARATOR).at(-1) ?? '';
  const word = part.toLowerCase();
  const ending = part === name ? `is ${part}` : `ends with ${part}`;
  if (UNSET.has(word)) return `${ending}, which stands for a missing value`;
  if (mayMove) return undefined;
  if (GIT_REFERENCE.test(name)) return 'is a reference of git that is not a tag, which is not fixed';
  if (VARIABLE.test(name)) return `is ${name}, which looks like the name of a variable without its $`;
  if (MOVING.has(word) || MOVING_ALONE.has(name.toLowerCase())) return `${ending}, which is not fixed`;
  if (/^0+$/.test(name)) return 'contains only zeros, as a commit that does not exist';
  return undefined;
}
