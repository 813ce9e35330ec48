import { accessSync, constants, existsSync, statSync, type Stats } from 'node:fs';
import path from 'node:path';
import { MigrateLockError } from '../errors.js';
import { errorCode } from './error-code.js';
import { hintForForm } from './not-found-hint.js';

/** Where execvp looks when the environment has no PATH at all. */
const DEFAULT_PATH = '/bin:/usr/bin';
/** In every folder they are the folder itself, or the one above it. */
const NO_NAMES = new Set(['', '.', '..']);
/** There can be no such file; a whole script in quotes is a name that is too long. */
const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

/**
 * Finds what would be executed, before the database is asked, by the rules of execvp: a name with a slash is taken as
 * it is, any other is looked for in the PATH of `env`, and a match without permission does not end the search.
 * The result always has a slash, so that nobody searches a second time.
 *
 * @throws MigrateLockError COMMAND_NOT_FOUND (exit 127) or COMMAND_NOT_EXECUTABLE (exit 126)
 */
export function resolveCommand(command: string, env: NodeJS.ProcessEnv, cwd: string): string {
  if (command.includes('/')) {
    const verdict = look(command, cwd);
    if (verdict === 'executable') return command;
    if (verdict === 'absent') throw notFound(command, 'There is no such file.');
    throw notExecutable(command, verdict);
  }
  let refused: { file: string; verdict: Refusal } | undefined;
  const closed: string[] = [];
  for (const folder of NO_NAMES.has(command) ? [] : (env.PATH ?? DEFAULT_PATH).split(':')) {
    // An empty entry of PATH means the current directory.
    const file = `${folder === '' ? '.' : folder}/${command}`;
    const verdict = look(file, cwd);
    if (verdict === 'executable') return file;
    // Nobody knows what is there. A folder of another user in PATH is usual (`su`), and not what is wrong.
    if (verdict === 'closed' || verdict === 'unreadable') closed.push(folder);
    else if (verdict !== 'absent') refused ??= { file, verdict };
  }
  if (refused !== undefined) throw notExecutable(refused.file, refused.verdict);
  throw notFound(command, hintForName(command, closed, cwd));
}

/** Why a file cannot be executed. `closed`: a folder on the way to it may not be searched. */
type Refusal = 'closed' | 'no permission' | 'a directory' | 'no file' | 'unreadable';

/** What is at `file`. */
function look(file: string, cwd: string): Refusal | 'executable' | 'absent' {
  const full = path.resolve(cwd, file);
  let found: Stats;
  try {
    found = statSync(full);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EACCES') return 'closed';
    return ABSENT.has(code ?? '') ? 'absent' : 'unreadable';
  }
  if (found.isDirectory()) return 'a directory';
  if (!found.isFile()) return 'no file';
  try {
    accessSync(full, constants.X_OK);
    return 'executable';
  } catch {
    return 'no permission';
  }
}

function notFound(command: string, hint: string): MigrateLockError {
  return new MigrateLockError(`command not found: ${command === '' ? "''" : command}`, {
    code: 'COMMAND_NOT_FOUND',
    exit: 'notFound',
    hint: hintForForm(command) ?? hint,
  });
}

function hintForName(command: string, closed: readonly string[], cwd: string): string {
  const local = inNodeModules(command, cwd);
  if (local !== undefined) {
    return `It is installed in ${path.dirname(local)}, which is not in PATH: put npx in front (npx ${command} ...).`;
  }
  const missing = 'It is in no directory of PATH: check the spelling, or give its full path.';
  if (closed.length === 0) return missing;
  return `${missing} This user may not search ${[...new Set(closed)].join(', ')}.`;
}

const REASONS: Record<Refusal, { why: string; hint: (file: string) => string }> = {
  closed: {
    why: 'permission denied',
    hint: () => 'This user may not search one of the folders above it.',
  },
  'no permission': {
    why: 'permission denied',
    hint: (file) => `Allow it with chmod +x ${file}, or name its interpreter (sh ${file}, node ${file}).`,
  },
  'a directory': { why: 'it is a directory', hint: () => NAME_ANOTHER },
  'no file': { why: 'it is not a file', hint: () => NAME_ANOTHER },
  unreadable: { why: 'the system cannot read it', hint: () => NAME_ANOTHER },
};
const NAME_ANOTHER = 'Name a program, or a script with a #! line.';

function notExecutable(file: string, verdict: Refusal): MigrateLockError {
  const { why, hint } = REASONS[verdict];
  return new MigrateLockError(`command cannot be executed: ${file}: ${why}`, {
    code: 'COMMAND_NOT_EXECUTABLE',
    exit: 'notExecutable',
    hint: hint(file),
  });
}

/** The command as npm installed it, in `folder` or the nearest folder above it. */
function inNodeModules(command: string, folder: string): string | undefined {
  for (let here = path.resolve(folder); command !== ''; here = path.dirname(here)) {
    const file = path.join(here, 'node_modules', '.bin', command);
    if (existsSync(file)) return file;
    if (here === path.dirname(here)) return undefined;
  }
  return undefined;
}
