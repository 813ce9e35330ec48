import { readFileSync, readdirSync } from 'node:fs';
import { isAlive, signalProcess } from '../../support/processes.js';

/**
 * Living processes whose HOME is this folder or one below it. One look serves a whole schedule: the relays run in the
 * same
 * thread, and reading all processes of the machine delays them.
 */
export function processesOf(folder: string): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid)
    .filter((pid) => `\0${read(pid, 'environ')}/`.replaceAll('\0', '/\0').includes(`\0HOME=${folder}/`))
    .filter(isAlive)
    .map((pid) => ({ pid, command: read(pid, 'cmdline').replaceAll('\0', ' ').slice(0, 200) }));
}

/** Stopped first, so that none sees another one end; repeated until none is left. */
export function endAll(folder: string): void {
  for (let all = processesOf(folder); all.length > 0; all = processesOf(folder)) {
    for (const { pid } of all) signalProcess(pid, 'SIGSTOP');
    for (const { pid } of all) signalProcess(pid, 'SIGKILL');
  }
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // ended since then
  }
}
