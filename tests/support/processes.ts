import { readFileSync, readdirSync } from 'node:fs';
import { isAlive } from './process-table.mjs';
import { waitFor } from './wait-for.js';

export { childrenOf, isAlive } from './process-table.mjs';

/** Sends a signal to a process; returns false when it does not exist. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Waits until the process has ended (a zombie counts as gone). */
export async function waitUntilGone(pid: number, limitMs = 20_000): Promise<void> {
  await waitFor(`the end of process ${pid}`, () => !isAlive(pid), { limitMs });
}

/** Sends SIGKILL to a process and waits for its end. */
export async function endProcess(pid: number): Promise<void> {
  signalProcess(pid, 'SIGKILL');
  await waitUntilGone(pid);
}

export interface MarkedProcess {
  pid: number;
  command: string;
}

/** All living processes whose environment has this entry, which their descendants inherit in any session. */
export function processesWith(name: string, value: string): MarkedProcess[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid && isAlive(pid))
    .filter((pid) => read(pid, 'environ').includes(`${name}=${value}`))
    .map((pid) => ({ pid, command: read(pid, 'cmdline').join(' ').trim() }));
}

function read(pid: number, file: 'environ' | 'cmdline'): string[] {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
  } catch {
    return []; // ended since then, or another user's
  }
}
