import { spawn, type ChildProcess } from 'node:child_process';

/**
 * A `cat` process that writes its input to `fd`. No failure throws. It keeps Node running only while it has something
 * to write.
 */
export interface Cat {
  /** True while it accepts input; `onDrain` is called when it does so again. */
  readonly isReady: () => boolean;
  readonly write: (bytes: Buffer) => void;
  /** Ends the input: it exits when all is written. */
  readonly end: () => void;
  readonly kill: () => void;
}

/**
 * Starts it in its own session: a signal to the process group, or Ctrl-C, does not reach it. Null when there is no
 * `cat`.
 */
export function startCat(
  fd: number,
  { onDrain, onExit }: { onDrain: () => void; onExit: () => void },
): Cat | null {
  const cat = trySpawn(fd);
  const stdin = cat?.stdin;
  if (cat?.pid === undefined || stdin == null) return null;
  cat.unref();
  stdin.on('drain', onDrain);
  // It ended because its reader is gone: the lines in between are lost.
  stdin.on('error', () => undefined);
  cat.once('exit', onExit);
  return {
    isReady: () => !stdin.writableNeedDrain,
    write: (bytes) => void stdin.write(bytes),
    end: () => void stdin.end(),
    kill: () => void cat.kill('SIGKILL'),
  };
}

function trySpawn(fd: number): ChildProcess | null {
  try {
    const cat = spawn('cat', {
      stdio: ['pipe', fd, 'ignore'],
      detached: true,
      // It keeps no folder in use, and its environment does not make it look like a process of the child.
      cwd: '/',
      env: { PATH: process.env.PATH },
    });
    cat.on('error', () => undefined);
    return cat;
  } catch {
    return null; // no descriptor or no process is available
  }
}
