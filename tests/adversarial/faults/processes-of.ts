import { readFileSync, readdirSync } from 'node:fs';
import { isAlive, signalProcess } from '../../support/processes.js';

/**
 * Living processes whose HOME is this folder or one below it. The one look serves a whole schedule: the relays share our
 * thread, and a look at all processes of the machine holds them up.
 */
export function processesOf(folder: string): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid)
    .filter((pid) => `\0${read(pid, 'environ')}/`.replaceAll('\0', '/\0').includes(`\0HOME=${folder}/`))
    .filter(isAlive)
    .map((pid) => ({ pid, command: read(pid, 'cmdline').replaceAll('\0', ' ').slice(0, 200) }));
}

/** Stopped first, so that nobody sees another one die; then again, until a look finds nobody. */
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
    return ''; // ended meanwhile
  }
}
