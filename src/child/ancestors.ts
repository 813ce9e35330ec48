import { readFileSync, readlinkSync } from 'node:fs';
import { readProcEntry } from './proc-files.js';

export interface Ancestor {
  pid: number;
  args: string[];
}

/** The processes above this one, the nearest first; empty where the system does not show them. */
export function ancestors(): Ancestor[] {
  const found: Ancestor[] = [];
  try {
    // In a pid namespace with the /proc of another one, numbers are those of others.
    if (readlinkSync('/proc/self') !== String(process.pid)) return [];
    let pid = process.ppid;
    while (pid > 0) {
      found.push({ pid, args: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') });
      pid = readProcEntry(pid)?.parent ?? 0;
    }
  } catch {
    // Not Linux, or hidden from us (hidepid).
  }
  return found;
}
