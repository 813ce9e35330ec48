import { closeSync, constants, openSync } from 'node:fs';
import { inForeground } from '../system/foreground.js';

/**
 * Whether this process has a controlling terminal. stdin does not show that: it may be a pipe while Ctrl-C and a password
 * prompt still work through /dev/tty.
 */
export function hasControllingTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether the terminal sends `signal` to the foreground group, and that is our group. A child in our group then gets it from
 * the terminal. When it is unknown the answer is yes, so that a child does not get Ctrl-C twice. (Node does not show the
 * sender of a signal, so a `kill -INT` to this process alone looks the same.)
 */
export function terminalDelivers(signal: NodeJS.Signals): boolean {
  return (signal === 'SIGINT' || signal === 'SIGQUIT') && inForeground();
}
