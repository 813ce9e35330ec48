import { accessSync, constants, existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { MigrateLockError } from '../errors.js';
import { errorCode } from './error-code.js';

/** Where execvp looks when the environment has no PATH at all. */
const DEFAULT_PATH = '/bin:/usr/bin';

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
    throw verdict === 'absent' ? notFound(command, cwd) : notExecutable(command, verdict);
  }
  let refused: { file: string; why: string } | undefined;
  for (const folder of command === '' ? [] : (env.PATH ?? DEFAULT_PATH).split(':')) {
    // An empty entry of PATH means the current directory.
    const file = `${folder === '' ? '.' : folder}/${command}`;
    const verdict = look(file, cwd);
    if (verdict === 'executable') return file;
    if (verdict !== 'absent') refused ??= { file, why: verdict };
  }
  throw refused === undefined ? notFound(command, cwd) : notExecutable(refused.file, refused.why);
}

/** What is at `file`: 'executable', 'absent', or the reason why it cannot be executed. */
function look(file: string, cwd: string): string {
  const full = path.resolve(cwd, file);
  try {
    const found = statSync(full);
    if (found.isDirectory()) return 'it is a directory';
    if (!found.isFile()) return 'it is not a file';
    accessSync(full, constants.X_OK);
    return 'executable';
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'absent';
    return code === 'EACCES' ? 'permission denied' : `the system says ${String(code)}`;
  }
}

function notFound(command: string, cwd: string): MigrateLockError {
  const local = command.includes('/') ? undefined : inNodeModules(command, cwd);
  return new MigrateLockError(`command not found: ${command === '' ? "''" : command}`, {
    code: 'COMMAND_NOT_FOUND',
    exit: 'notFound',
    hint:
      local === undefined
        ? command.includes('/')
          ? 'There is no such file.'
          : 'It is in no directory of PATH: check the spelling, or give its full path.'
        : `It is installed in ${path.dirname(local)}, which is not in PATH: put npx in front (npx ${command} ...).`,
  });
}

function notExecutable(file: string, why: string): MigrateLockError {
  return new MigrateLockError(`command cannot be executed: ${file}: ${why}`, {
    code: 'COMMAND_NOT_EXECUTABLE',
    exit: 'notExecutable',
    hint:
      why === 'permission denied'
        ? `Allow it with chmod +x ${file}, or name its interpreter (sh ${file}, node ${file}).`
        : 'Name a program, or a script with a #! line.',
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
