import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { serverAccount } from '../support/embedded/account.mjs';

/** A program that ends with this process, however this process ends. */
export interface Kept {
  pid: number;
  /** Ends the program with SIGKILL, and then runs the last words. */
  end: () => Promise<void>;
}

/**
 * Starts a program as the servers' account, with its output in a file.
 * @param lastWords shell words that run after the program's end, with the program's words as "$@"
 */
export async function keep(words: string[], log: string, folder: string, lastWords = ':'): Promise<Kept> {
  const script = `
"$@" > "$LOG" 2>&1 & echo $!
read -r forever
kill -KILL "$!" 2> /dev/null; wait "$!" 2> /dev/null
${lastWords}`;
  const keeper = spawn('/bin/sh', ['-c', script, 'sh', ...words], {
    ...serverAccount(),
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', HOME: folder, LOG: log },
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(keeper, 'exit');
  const [line] = (await once(keeper.stdout, 'data')) as [Buffer];
  return {
    pid: Number(line),
    end: async () => {
      keeper.stdin.end();
      await ended;
    },
  };
}
