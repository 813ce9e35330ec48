import { readdirSync, readFileSync } from 'node:fs';
import type { Evidence } from './secret-forms.js';

const EVERY_MS = 10;

export interface FamilyWatch {
  /** Looks now, in addition to every few milliseconds. */
  look: () => void;
  /** Every argument list and environment of any of them. */
  evidence: () => Evidence[];
  stop: () => void;
}

/**
 * Watches a process and all its descendants, also those whose parent has ended: their command lines, which every user
 * can
 * read, and their environments, which every process of the same user can read.
 */
export function watchFamily(pid: number): FamilyWatch {
  const family = new Set([pid]);
  const found = new Map<string, Evidence>();
  const look = (): void => {
    const parents = parentsOf();
    for (let size = 0; size !== family.size;) {
      size = family.size;
      for (const [child, parent] of parents) if (family.has(parent)) family.add(child);
    }
    for (const member of family) {
      for (const part of ['cmdline', 'environ']) {
        const text = read(`/proc/${member}/${part}`);
        if (text !== '') found.set(`${member} ${part} ${text}`, { where: `/proc/${member}/${part}`, text });
      }
    }
  };
  look();
  const timer = setInterval(look, EVERY_MS);
  return { look, evidence: () => [...found.values()], stop: () => clearInterval(timer) };
}

function parentsOf(): [number, number][] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      const stat = read(`/proc/${name}/stat`);
      return [Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])];
    });
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // ended since then
  }
}
