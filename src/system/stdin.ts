import { fstatSync, statSync } from 'node:fs';
import { isatty } from 'node:tty';

/** Whether a second program finds at our stdin what the first one found: a terminal, or nothing (/dev/null). */
export function canReadStdinAgain(): boolean {
  if (isatty(0)) return true;
  try {
    const stdin = fstatSync(0);
    return stdin.isCharacterDevice() && stdin.rdev === statSync('/dev/null').rdev;
  } catch {
    return false;
  }
}
