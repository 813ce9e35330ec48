import { readFileSync, readdirSync } from 'node:fs';

/**
 * Whether this process still exists. A zombie counts as gone.
 * @param {number} pid
 */
export function isAlive(pid) {
  const stat = readStat(pid);
  if (stat !== null) return stat.state !== 'Z' && stat.state !== 'X';
  if (process.platform === 'linux') return false;
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/**
 * Ids of all processes whose parent is `pid`; none where the system has no /proc.
 * @param {number} pid
 * @returns {number[]}
 */
export function childrenOf(pid) {
  return processIds().filter((id) => readStat(id)?.parent === pid);
}

/**
 * @param {number} pid
 * @returns {{ state: string, parent: number } | null}
 */
function readStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may contain anything, also brackets.
    const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return null;
  }
}

function processIds() {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}
