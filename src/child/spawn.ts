import { spawn, type ChildProcess } from 'node:child_process';
import { startFailure } from './start-failure.js';

export interface SpawnOptions {
  /** The file to execute, with a slash; `command` is its argv[0]. */
  file: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** The descriptors that become its 0, 1 and 2; `ignore`: /dev/null. */
  stdio: readonly [stdin: number | 'ignore', stdout: number, stderr: number];
  /** In its own session and group, without a controlling terminal. */
  ownGroup: boolean;
}

/**
 * Starts a child. `onSpawned` is called as soon as it has a pid, before any of its events. The promise rejects when the child
 * could not be started; a child that started and failed emits `exit`.
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
      // Some errors (E2BIG) are thrown, others (ENOENT, EACCES) are emitted.
      failed(error);
      return;
    }
    // This listener is never removed: a kill() that is not permitted emits `error` too.
    child.on('error', failed);
    if (child.pid !== undefined) resolve(onSpawned(child, child.pid));
  });
}
