import { UsageError } from '../errors.js';
import { REFUSED_CHECKS, type RefusedCheck } from './refused-checks.js';
import { readScript } from './simple-command.js';

/** They exit 0 whatever happens. */
const SUCCESSFUL = [':', 'true', 'echo', 'printf'];
const SHELL = /^(?:ba|da|k|z|a)?sh$/;
/** They run what follows in their own place. */
const IN_PLACE = ['exec', 'command', 'env', 'nohup', 'time'];
const ASSIGNMENT = /^[A-Za-z_]\w*=/;
/** They run the program that a later word names. */
const LAUNCHERS = new Set(
  [
    'npx npm pnpm pnpx yarn yarnpkg bun bunx node tsx ts-node deno uv uvx poetry pipenv pdm hatch rye bundle ruby',
    'php cargo dotnet docker docker-compose podman kubectl timeout nice sudo dotenv dotenvx doppler mise direnv',
  ]
    .join(' ')
    .split(' '),
);
const PYTHON = /^python(?:\d[\d.]*)?$/;

/**
 * Refuses a check that exits 0 also when migrations are pending: every run would skip its command. A shell command line
 * of several commands is the user's own logic and is not refused.
 * @param script the string for `sh -c`.
 * @throws {UsageError}
 */
export function refuseCheck(script: string): void {
  const read = readScript(script);
  if (read.kind === 'background') throw refusedCheck('A command line that ends with &', 'Remove the &');
  if (read.kind === 'simple') refuseWords(withoutPrefix(read.words));
}

function refuseWords(words: readonly string[]): void {
  const [first = '', second = '', third] = words;
  const [program] = namesOf(first);
  if (words.length === 0) throw refusedCheck('An empty command');
  if (SUCCESSFUL.includes(program)) throw refusedCheck(program);
  if (first === 'exit' && ['', '0'].includes(second)) throw refusedCheck('exit 0');
  if (SHELL.test(program) && /^-[a-z]*c$/.test(second) && third !== undefined) {
    refuseCheck(third);
    return;
  }
  const found = REFUSED_CHECKS.find((row) => isCommandOf(row, words));
  if (found !== undefined) throw refusedCheck(found.name, `Use ${found.instead}`);
}

/** Whether the words run this command, by themselves or through a launcher such as npx. */
function isCommandOf(row: RefusedCheck, words: readonly string[]): boolean {
  const programs = isLauncher(words[0] ?? '') ? words.length : 1;
  return words.slice(0, programs).some((word, at) => {
    if (!namesOf(word).some((name) => row.programs.includes(name))) return false;
    const after = words.slice(at + 1);
    return row.commands.some((command) => isIn(command, after, row.directly)) && row.unless?.(after) !== true;
  });
}

/** Whether the words of the command stand in this order among the others. */
function isIn(command: readonly string[], words: readonly string[], directly = false): boolean {
  let at = -1;
  for (const word of command) {
    at = words.indexOf(word, at + 1);
    if (at < 0) return false;
    if (directly && word === command[0] && at > 0) return false;
  }
  return true;
}

function isLauncher(word: string): boolean {
  const [name] = namesOf(word);
  return LAUNCHERS.has(name) || PYTHON.test(name);
}

/** The file's name without ending and version, and the package that the word names or that the file is in. */
function namesOf(word: string): [file: string, ...packages: string[]] {
  const path = word.replace(/(?<=[^/])@[^/]*$/, '');
  const file = path.slice(path.lastIndexOf('/') + 1).replace(/\.(?:[cm]?[jt]s|py|phar|cmd|exe|sh)$/, '');
  const inside = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
  return [file, path, ...(inside === undefined ? [] : [inside])];
}

/** Without what only sets variables or hands over to the next word. */
function withoutPrefix(words: readonly string[]): readonly string[] {
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? '';
    const isOption = at > 0 && word.startsWith('-');
    if (!IN_PLACE.includes(word) && !ASSIGNMENT.test(word) && !isOption) break;
  }
  // Assignments alone exit with the code of the substitution in them.
  return at > 0 && at === words.length ? words : words.slice(at);
}

function refusedCheck(what: string, instead = 'Use a check of your migration tool'): UsageError {
  return new UsageError(
    `${what} cannot be a check: it exits 0 also when migrations are pending, so the command would never run`,
    `${instead}. docs/check.md lists checks.`,
  );
}
