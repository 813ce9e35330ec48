import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readSync } from 'node:fs';
import path from 'node:path';
import type { Start } from './open-files-limit.js';
import { OWN_EXECUTABLE } from '../system/own-executable.js';
import { startFailure } from './start-failure.js';

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

/** Signals that Node ignores from its start on. A new program would go on ignoring them. */
const IGNORED_BY_NODE = ['SIGPIPE', 'SIGXFSZ'] as const;
const LONGEST_HEAD = 256;
/** As Linux: an interpreter may be a script again. */
const DEEPEST_SCRIPT = 4;

/**
 * Whether this process can become the program: Node has process.execve (from 22.15 and 23.11 on), and the kernel takes the file.
 * A failing execve would abort Node 24.
 */
export function canReplace(file: string, cwd: string): boolean {
  return execve() !== undefined && isForThisMachine(path.resolve(cwd, file));
}

/**
 * Becomes the program: this process ends here, and no code of ours runs afterwards. stdin, stdout and stderr are blocking, and
 * signals have their default effect. The warning that execve is experimental is never printed, as there is no next tick.
 * @throws {MigrateLockError} COMMAND_NOT_EXECUTABLE or COMMAND_NOT_FOUND, where Node does not abort.
 */
export function replaceProcess({ file, command, args, env }: Start): never {
  // Starting a child with our descriptors makes them blocking, whether the child can be started or not.
  spawnSync('/bin/sh', ['-c', ':'], { stdio: 'inherit' });
  // A signal with a handler has its default effect in the new program, an ignored one stays ignored.
  for (const signal of IGNORED_BY_NODE) process.on(signal, () => undefined);
  try {
    const replace = execve();
    if (replace === undefined) throw new Error('process.execve is missing');
    return replace(file, [command, ...args], env);
  } catch (error) {
    throw startFailure(file, error);
  }
}

function execve(): Execve | undefined {
  const { execve: found } = process as { execve?: Execve };
  return found?.bind(process);
}

/** A script whose interpreter is, or a program of the same format and processor as this one. */
function isForThisMachine(file: string, depth = 0): boolean {
  const head = headOf(file);
  if (head === undefined || depth > DEEPEST_SCRIPT) return false;
  const [, interpreter] = /^#!\s*(\S+)/.exec(head.toString('latin1')) ?? [];
  if (interpreter !== undefined)
    return path.isAbsolute(interpreter) && isForThisMachine(interpreter, depth + 1);
  const ours = headOf(OWN_EXECUTABLE) ?? headOf(process.execPath);
  // ELF: magic, class and byte order; then the machine, in bytes 18 and 19.
  return ours !== undefined && key(head) === key(ours);
}

function key(head: Buffer): string {
  return head.toString('hex', 0, 6) + head.toString('hex', 18, 20);
}

/** undefined: it cannot be read or executed. */
function headOf(file: string): Buffer | undefined {
  try {
    accessSync(file, constants.X_OK);
    const descriptor = openSync(file, 'r');
    const head = Buffer.alloc(LONGEST_HEAD);
    readSync(descriptor, head);
    closeSync(descriptor);
    return head;
  } catch {
    return undefined;
  }
}
