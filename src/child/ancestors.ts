import { readFileSync } from 'node:fs';
import { isOurProc, readProcEntry } from './proc-files.js';

export interface Ancestor {
  pid: number;
  args: string[];
}

/** The ancestors of this process, the parent first. Empty where the system does not show them. */
export function ancestors(): Ancestor[] {
  const found: Ancestor[] = [];
  if (!isOurProc()) return found;
  try {
    let pid = process.ppid;
    while (pid > 0) {
      found.push({ pid, args: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') });
      pid = readProcEntry(pid)?.parent ?? 0;
    }
  } catch {
    // The process is hidden (hidepid), or it has exited.
  }
  return found;
}
