import { spawn, type ChildProcess } from 'node:child_process';

/** A `cat` of ours, which writes to `fd` what it is given. No failure of it throws. It keeps Node alive only while it has something to write. */
export interface Cat {
  /** True as long as it takes what it is given; `onDrain` tells when it does so again. */
  readonly isReady: () => boolean;
  readonly write: (bytes: Buffer) => void;
  /** No more comes: it ends when all is written. */
  readonly end: () => void;
  readonly kill: () => void;
}

/** Starts it in a session of its own: what ends our group, or Ctrl-C, is not for it. Null when there is none. */
export function startCat(
  fd: number,
  { onDrain, onExit }: { onDrain: () => void; onExit: () => void },
): Cat | null {
  const cat = trySpawn(fd);
  const stdin = cat?.stdin;
  if (cat?.pid === undefined || stdin == null) return null;
  cat.unref();
  stdin.on('drain', onDrain);
  // It ended because its reader is gone: what was on its way is lost.
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
      // It keeps no folder busy, and nothing in its environment makes it look like a process of the child.
      cwd: '/',
      env: { PATH: process.env.PATH },
    });
    cat.on('error', () => undefined);
    return cat;
  } catch {
    return null; // no descriptor or no process is to be had
  }
}
