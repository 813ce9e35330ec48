import { closeSync, openSync, readSync } from 'node:fs';
import { MigrateLockError } from '../errors.js';
import { reachedLimit } from '../system/limits.js';
import { systemErrorCode } from './system-error.js';

/** Why an executable `file` could not be started: exit 126, 127 when it does not exist any more, or 1 at a limit of the system. */
export function startFailure(file: string, cause: unknown): MigrateLockError {
  const code = systemErrorCode(cause) ?? 'unknown error';
  if (code === 'ENOENT') {
    const head = firstLine(file);
    return head === undefined ? vanished(file, cause) : interpreterMissing(file, head, cause);
  }
  const limit = reachedLimit(cause);
  return new MigrateLockError(`command cannot be executed: ${file}: ${code}`, {
    code: limit === undefined ? 'COMMAND_NOT_EXECUTABLE' : 'INTERNAL',
    exit: limit === undefined ? 'notExecutable' : 'internal',
    hint: limit ?? HINTS[code] ?? 'The operating system refused to start it.',
    cause,
  });
}

const HINTS: Partial<Record<string, string>> = {
  E2BIG: 'Its arguments and environment together are larger than the operating system allows.',
  EACCES:
    'Permission denied: check its #! line, the permissions of the directories in its path, and for a noexec mount.',
  ENOEXEC: 'It is not a program for this machine, and has no #! line.',
  ETXTBSY: 'A process has it open for writing.',
};

function vanished(file: string, cause: unknown): MigrateLockError {
  return new MigrateLockError(`command not found: ${file}`, {
    code: 'COMMAND_NOT_FOUND',
    exit: 'notFound',
    hint: 'It existed when migrate-lock started, and was removed since.',
    cause,
  });
}

function interpreterMissing(file: string, head: string, cause: unknown): MigrateLockError {
  const interpreter = /^#!\s*(\S+)/.exec(head)?.[1];
  return new MigrateLockError(
    interpreter === undefined
      ? `command cannot be executed: ${file}: its loader (dynamic linker) is missing`
      : `command cannot be executed: ${file}: its interpreter ${interpreter} does not exist`,
    {
      code: 'COMMAND_NOT_EXECUTABLE',
      exit: 'notExecutable',
      hint: head.endsWith('\r')
        ? 'It has Windows line endings (CR LF): save it with LF.'
        : interpreter === undefined
          ? 'It was built for another system (glibc and musl differ).'
          : 'Correct its #! line, or install the interpreter.',
      cause,
    },
  );
}

/** The first line of `file`, at most as long as the kernel reads it; undefined when it cannot be opened. */
function firstLine(file: string): string | undefined {
  try {
    const descriptor = openSync(file, 'r');
    const head = Buffer.alloc(256);
    const length = readSync(descriptor, head);
    closeSync(descriptor);
    return head.toString('latin1', 0, length).split('\n', 1)[0];
  } catch {
    return undefined;
  }
}
