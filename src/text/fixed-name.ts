/**
 * A run key or a lock's schema is often given by a variable. When that is unset, or nobody expands it, every release has the
 * same run key, or one of them another lock.
 */

/** What is left in a text when nobody expands it. The lengths are bounded: a text of any size is searched in linear time. */
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
  /%(?![0-9A-Fa-f]{2}%)[A-Za-z_][\w.-]{0,60}%/,
  // Go templates and Helm (<no value>, <nil>), and the place holders of a manual (<commit>).
  /<[\w .:-]{1,60}>/,
  // configure, CMake.
  /@[A-Z_][A-Z0-9_]{1,60}@/,
  // JavaScript.
  /\[object \w{1,60}\]/,
  // A command that no shell has run.
  /`[^`]{0,60}`?/,
];

/** Between two parts of a name. One at its end is what `web-$UNSET` leaves. */
const SEPARATOR = /[\s\-_:/@.+#=,;|~&]/u;

/** What a program writes for a value that it does not have. */
const UNSET = new Set(['undefined', 'null', 'nil', 'none', 'nan', 'unknown', 'unspecified']);
/** What names another thing tomorrow. */
const MOVING = new Set(['latest', 'main', 'master', 'trunk', 'develop', 'head', 'nightly', 'snapshot']);
/** As `MOVING`, but in a longer name (`seed-dev`) they may well be a part of what is done. */
const MOVING_ALONE = new Set([
  ...['dev', 'development', 'test', 'staging', 'prod', 'production', 'stable', 'edge', 'canary'],
  ...['current', 'default', 'next', 'release', 'version', 'true', 'false', 'yes', 'no', 'on', 'off'],
]);

/** What in a text should have been replaced by a value, as far as that can be told. */
export function findUnexpanded(text: string): string | undefined {
  return UNEXPANDED.map((pattern) => pattern.exec(text)?.[0]).find((found) => found !== undefined);
}

/**
 * Why a text cannot name one fixed thing, as the rest of a sentence about it; undefined when it can. `mayMove`: a name such as
 * `main` is fixed enough.
 */
export function whyNotFixed(name: string, { mayMove = false } = {}): string | undefined {
  const form = findUnexpanded(name);
  if (form !== undefined) return `holds ${form}, which nobody has expanded`;
  if (name.trim() === '') return 'holds nothing but blanks';
  const [first, last] = [name.charAt(0), name.slice(-1)];
  if (SEPARATOR.test(last)) return `ends with ${JSON.stringify(last)}, as if a variable after it were empty`;
  if (SEPARATOR.test(first)) {
    return `begins with ${JSON.stringify(first)}, as if a variable before it were empty`;
  }
  const part = name.split(SEPARATOR).at(-1) ?? '';
  const word = part.toLowerCase();
  const told = part === name ? `is ${part}` : `ends with ${part}`;
  if (UNSET.has(word)) return `${told}, which stands for a value that is not there`;
  if (mayMove) return undefined;
  if (name.startsWith('refs/heads/')) return 'is a branch, which names no fixed thing';
  if (MOVING.has(word) || MOVING_ALONE.has(name.toLowerCase())) return `${told}, which names no fixed thing`;
  if (/^0+$/.test(name)) return 'holds nothing but zeros, as a commit that does not exist';
  return undefined;
}
