import { closeSync, constants, openSync, readFileSync } from 'node:fs';

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
 * that shares our group has had it already. (A `kill -INT` aimed at us alone looks the same; Node does not say who sent a signal.)
 */
export function terminalDelivers(signal: NodeJS.Signals): boolean {
  return (signal === 'SIGINT' || signal === 'SIGQUIT') && inForeground();
}

/** A background job (`&`) of an interactive shell has the terminal too, but none of its keys. */
function inForeground(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    // After the name in brackets: state, ppid, pgrp, session, tty_nr, tpgid.
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return group === foreground;
  } catch {
    // Without /proc, take the usual case: Ctrl-C must not reach the child twice.
    return true;
  }
}
