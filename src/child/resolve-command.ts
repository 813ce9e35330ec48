import { accessSync, constants, existsSync, statSync, type Stats } from 'node:fs';
import path from 'node:path';
import { MigrateLockError } from '../errors.js';
import { systemErrorCode } from './system-error.js';
import { hintForForm } from './not-found-hint.js';

/** The search path of execvp when PATH is not set. */
const DEFAULT_PATH = '/bin:/usr/bin';
/** In a directory they are the directory itself, or its parent. */
const NO_NAMES = new Set(['', '.', '..']);
/** The file does not exist. A whole script in quotes is a name that is too long. */
const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

/**
 * Finds the file to execute, by the rules of execvp: a name with a slash is used as it is, any other is searched for in the
 * PATH of `env`, and a match without permission does not end the search. The result has a slash, so that it is not searched
 * for again.
 *
 * @throws MigrateLockError COMMAND_NOT_FOUND (exit 127) or COMMAND_NOT_EXECUTABLE (exit 126)
 */
export function resolveCommand(command: string, env: NodeJS.ProcessEnv, cwd: string): string {
  if (command.includes('/')) {
    const verdict = checkFile(command, cwd);
    if (verdict === 'executable') return command;
    if (verdict === 'absent') throw notFound(command, 'There is no such file.');
    throw notExecutable(command, verdict);
  }
  let refused: { file: string; verdict: Refusal } | undefined;
  const closed: string[] = [];
  for (const folder of NO_NAMES.has(command) ? [] : (env.PATH ?? DEFAULT_PATH).split(':')) {
    // An empty entry of PATH means the current directory.
    const file = `${folder === '' ? '.' : folder}/${command}`;
    const verdict = checkFile(file, cwd);
    if (verdict === 'executable') return file;
    // Not an error by itself: after `su`, PATH often has directories of another user.
    if (verdict === 'closed' || verdict === 'unreadable') closed.push(folder);
    else if (verdict !== 'absent') refused ??= { file, verdict };
  }
  if (refused !== undefined) throw notExecutable(refused.file, refused.verdict);
  throw notFound(command, hintForName(command, closed, cwd));
}

/** Why a file cannot be executed. `closed`: a directory in its path cannot be searched. */
type Refusal = 'closed' | 'no permission' | 'a directory' | 'no file' | 'unreadable';

/** Checks whether `file` can be executed. */
function checkFile(file: string, cwd: string): Refusal | 'executable' | 'absent' {
  const full = path.resolve(cwd, file);
  let found: Stats;
  try {
    found = statSync(full);
  } catch (error) {
    const code = systemErrorCode(error);
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
    return `It is installed in ${path.dirname(local)}, which is not in PATH. Put npx before it (npx ${command} ...).`;
  }
  const missing = 'It is in no directory of PATH. Check the spelling, or give its full path.';
  if (closed.length === 0) return missing;
  return `${missing} This user may not search ${[...new Set(closed)].join(', ')}.`;
}

const REASONS: Record<Refusal, { why: string; hint: (file: string) => string }> = {
  closed: {
    why: 'permission denied',
    hint: () => 'This user may not search one of the directories in its path.',
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

/** The command as npm installed it, in `folder` or in the nearest of its parent directories. */
function inNodeModules(command: string, folder: string): string | undefined {
  for (let here = path.resolve(folder); command !== ''; here = path.dirname(here)) {
    const file = path.join(here, 'node_modules', '.bin', command);
    if (existsSync(file)) return file;
    if (here === path.dirname(here)) return undefined;
  }
  return undefined;
}
