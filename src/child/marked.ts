import { setTimeout as sleep } from 'node:timers/promises';
import type { GuardedChild } from './guard.js';
import { systemProcessTable } from './process-table.js';
import { ProcessTree } from './process-tree.js';

const PAUSE_MS = 50;

/** The tree of a child of another process. Without a child it is every process with the mark. */
export function leftoverTree(mark: string, child?: GuardedChild): ProcessTree {
  // No process has the number 0.
  const root = { ...(child ?? { pid: 0, startedAt: 0, ownGroup: false }), mark };
  const tree = new ProcessTree(root, systemProcessTable(), process.pid);
  tree.rootReaped();
  return tree;
}

/** Resolves when no visible process has the mark any more. Ends no process. */
export async function untilMarkIsGone(mark: string): Promise<void> {
  const tree = leftoverTree(mark);
  while (!tree.isEmpty(await tree.scan())) await sleep(PAUSE_MS, undefined, { ref: false });
}
