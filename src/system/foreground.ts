import { readFileSync } from 'node:fs';

/**
 * Whether our process group is the terminal's foreground group. A background job (`&`) has the terminal too, but gets no keys,
 * and the shell writes to its last line.
 */
export function inForeground(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    // After the name in brackets: state, ppid, pgrp, session, tty_nr, tpgid.
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return group === foreground;
  } catch {
    // Without /proc, assume the usual case.
    return true;
  }
}
