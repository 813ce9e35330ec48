import { spawn, type ChildProcess } from 'node:child_process';
import { startFailure } from './start-failure.js';

export interface SpawnOptions {
  /** What to execute, with a slash; `command` is what it calls itself (argv[0]). */
  file: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Descriptors of ours that become its 0, 1 and 2. */
  stdio: readonly [stdin: number, stdout: number, stderr: number];
  /** A session and a group of its own; it has no terminal then. */
  ownGroup: boolean;
}

/**
 * Starts a child. `onSpawned` is called as soon as it has a pid, before anything else can be heard of it.
 * A child that could not be started at all is a rejection here; one that started and failed is an `exit` event.
 *
 * @throws MigrateLockError COMMAND_NOT_EXECUTABLE (exit 126) or COMMAND_NOT_FOUND (exit 127)
 */
export function spawnChild<T>(
  options: SpawnOptions,
  onSpawned: (child: ChildProcess, pid: number) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const failed = (cause: unknown): void => reject(startFailure(options.file, cause));
    let child: ChildProcess;
    try {
      child = spawn(options.file, options.args, {
        argv0: options.command,
        env: options.env,
        stdio: [...options.stdio],
        detached: options.ownGroup,
      });
    } catch (error) {
      // Some errors (E2BIG) are thrown, others (ENOENT, EACCES) come as an event.
      failed(error);
      return;
    }
    // Stays for ever: a kill() that is not permitted is an `error` event too, long after the start.
    child.on('error', failed);
    if (child.pid !== undefined) resolve(onSpawned(child, child.pid));
  });
}
