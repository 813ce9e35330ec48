import { closeSync, existsSync, openSync } from 'node:fs';
import { GUARD_SCRIPT } from '../generated/guard-script.js';
import { reachedLimit } from '../system/limits.js';
import { OWN_EXECUTABLE } from '../system/own-executable.js';
import { withoutMark } from './instance-mark.js';
import { systemErrorCode } from './system-error.js';

export interface GuardPrograms {
  /** Identifies the child's processes (instance-mark.ts). */
  mark: string;
  /** The program and its arguments that release the lease (run/crash-release.ts), without secrets. */
  releaseProgram: readonly string[];
  /** This program as a guard (own-guard.ts), where there is no shell. */
  ownGuard: readonly string[];
  /** The environment of the guard and of the release program. */
  env: NodeJS.ProcessEnv;
  /** Instead of /bin/sh and /proc, for tests. */
  shell?: readonly [string, ...string[]];
  proc?: string;
}

/** How a guard is started. */
export interface GuardCommand {
  file: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Descriptor 3 of the guard: a file, to be closed after the start, or a second pipe for the orders. */
  third: number | 'pipe' | undefined;
}

/** The guard as a shell script (guard.sh). */
export function shellGuard(programs: GuardPrograms): GuardCommand {
  const { mark, env, shell = ['/bin/sh'], proc = '/proc' } = programs;
  const [file, ...first] = shell;
  const [release = '', ...args] = programs.releaseProgram;
  // For the shell, the name of our own file would be that of the shell's. An open descriptor is inherited.
  const third = release === OWN_EXECUTABLE ? openOwnFile() : undefined;
  const found = release === OWN_EXECUTABLE && third === undefined ? process.execPath : release;
  const program = third === undefined ? found : '/proc/self/fd/3';
  const call = ['-c', 'eval "$MIGRATE_LOCK_GUARD"', 'migrate-lock-guard', proc, program, ...args];
  // Other users can read arguments, but not the environment.
  const variables = { MIGRATE_LOCK_GUARD: GUARD_SCRIPT, MIGRATE_LOCK_GUARD_MARK: mark };
  return { file, args: [...first, ...call], env: { ...withoutMark(env), ...variables }, third };
}

/** The guard as a mode of this program (own-guard.ts). */
export function ownGuard({ mark, env, ownGuard: [file = '', ...args] }: GuardPrograms): GuardCommand {
  const variables = { MIGRATE_LOCK_GUARD_MARK: mark };
  return { file, args, env: { ...withoutMark(env), ...variables }, third: 'pipe' };
}

/** To be called after the start, whether it succeeded or not. */
export function closeThird({ third }: GuardCommand): void {
  if (typeof third === 'number') closeSync(third);
}

/** Undefined: it may be executed but not read, or no descriptor is left. */
function openOwnFile(): number | undefined {
  try {
    return openSync(OWN_EXECUTABLE, 'r');
  } catch {
    return undefined;
  }
}

/** Why a guard could not be started: a clause, for use in brackets. */
export function whyNotStarted(program: string, error: unknown): string {
  const limit = reachedLimit(error);
  if (limit !== undefined) return `${limit.charAt(0).toLowerCase()}${limit.slice(1, -1)}`;
  const code = systemErrorCode(error);
  if (code === 'ENOENT' && !existsSync(program)) return `there is no ${program}`;
  if (code === 'EACCES') return `${program} may not be executed`;
  const said = error instanceof Error ? error.message : String(error);
  return `${program} could not be started: ${existsSync('/dev/null') ? said : 'there is no /dev/null'}`;
}
