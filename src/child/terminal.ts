import { closeSync, constants, openSync } from 'node:fs';
import { inForeground } from '../system/foreground.js';

/**
 * Whether this process has a controlling terminal. stdin says nothing about that: it may be a pipe while Ctrl-C and a
 * password prompt still work through /dev/tty.
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
 * Whether the terminal sends `signal` to the whole foreground group by itself and our group is that group: then a child
 * that shares our group has had it already; not knowing counts as yes, as Ctrl-C must not reach it twice. (A `kill -INT`
 * aimed at us alone looks the same; Node does not say who sent a signal.)
 */
export function terminalDelivers(signal: NodeJS.Signals): boolean {
  return (signal === 'SIGINT' || signal === 'SIGQUIT') && inForeground();
}
