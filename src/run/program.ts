import { resolveCommand } from '../child/resolve-command.js';
import { MigrateLockError } from '../errors.js';
import { redactCommand } from '../redact/command.js';
import type { RunOptions } from './run-context.js';

const SHELL = 'sh';

/** A program of a run: the command, or what runs before it. */
export interface Program {
  kind: 'command' | 'recovery' | 'check';
  /** The result of resolveCommand(). */
  file: string;
  command: string;
  args: readonly string[];
  /** Variables that it gets besides those of the command. */
  env: NodeJS.ProcessEnv;
  /** A recovery or a check gets neither the command's stdin nor its stdout. */
  stdio: readonly [stdin: number | 'ignore', stdout: number, stderr: number];
}

/** @throws {MigrateLockError} COMMAND_NOT_FOUND (exit 127) or COMMAND_NOT_EXECUTABLE (exit 126) */
export function findCommand({ command, args, env, cwd, childStdout }: RunOptions): Program {
  const file = resolveCommand(command, env, cwd);
  return { kind: 'command', file, command, args, env: {}, stdio: [0, childStdout === 'stdout' ? 1 : 2, 2] };
}

/** @throws {MigrateLockError} COMMAND_NOT_FOUND (exit 127) or COMMAND_NOT_EXECUTABLE (exit 126) */
export function findProgram(
  kind: 'recovery' | 'check',
  [command = '', ...args]: readonly string[],
  { env, cwd }: RunOptions,
  variables: NodeJS.ProcessEnv = {},
): Program {
  const file = command === SHELL ? resolveShell(kind, env, cwd) : resolveCommand(command, env, cwd);
  return { kind, file, command, args, env: variables, stdio: ['ignore', 2, 2] };
}

/** The user did not write this command, and cannot correct its spelling. */
function resolveShell(kind: 'recovery' | 'check', env: NodeJS.ProcessEnv, cwd: string): string {
  try {
    return resolveCommand(SHELL, env, cwd);
  } catch (cause) {
    if (!(cause instanceof MigrateLockError) || cause.code !== 'COMMAND_NOT_FOUND') throw cause;
    const option = kind === 'check' ? '--check' : '--recover';
    throw new MigrateLockError(`there is no ${SHELL} in PATH, which runs the line of ${option}`, {
      code: 'COMMAND_NOT_FOUND',
      exit: 'notFound',
      hint: `Leave ${option} out where there is no shell, as in a distroless image.`,
      cause,
    });
  }
}

/** The argv that runs a line in the shell. */
export function shellArgv(line: string): readonly string[] {
  return [SHELL, '-c', line];
}

/** The program as it is shown. */
export function describeProgram({ command, args }: Program, { connection }: RunOptions): string {
  return redactCommand([command, ...args], connection.secrets);
}
