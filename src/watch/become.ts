import { setImmediate as nextTurn } from 'node:timers/promises';
import { hasControllingTerminal, terminalDelivers } from '../child/controlling-terminal.js';
import { withOpenFilesLimit, type Start } from '../child/open-files-limit.js';
import { canReplace, replaceProcess } from '../child/replace-process.js';
import { spawnChild } from '../child/spawn.js';
import { EXIT_CODES } from '../exit-codes.js';
import { signalExitCode, type SignalRouter } from '../run/signals.js';

export interface BecomeOptions {
  signals: SignalRouter;
  /** Resolves when everything is written that was to be. */
  flush: () => Promise<void>;
}

/**
 * Becomes the command, so that no second process stays in memory. Where that is not possible, starts it, forwards signals to it,
 * and resolves to its exit code.
 * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal arrived before that.
 */
export async function become(
  wanted: Start & { cwd: string },
  { signals, flush }: BecomeOptions,
): Promise<number> {
  const held = signals.hold();
  await flush();
  const start = withOpenFilesLimit(wanted);
  // A signal that has arrived is handed over in the next turn.
  await nextTurn();
  held.throwIfAny();
  if (canReplace(wanted.file, wanted.cwd)) {
    signals.close();
    return replaceProcess(start);
  }
  // As for `run`: with a terminal in our process group, so that Ctrl-C and prompts work.
  const ownGroup = !hasControllingTerminal();
  return spawnChild({ ...start, stdio: [0, 1, 2], ownGroup }, (child) => {
    held.routeTo((signal) => {
      if (ownGroup || !terminalDelivers(signal)) child.kill(signal);
    });
    return new Promise<number>((resolve) => {
      child.once('exit', (code, signal) =>
        resolve(code ?? (signal === null ? EXIT_CODES.internal.code : signalExitCode(signal))),
      );
    });
  });
}
