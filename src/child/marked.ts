import { setTimeout as sleep } from 'node:timers/promises';
import { systemProcessTable } from './process-table.js';
import { ProcessTree } from './process-tree.js';

const PAUSE_MS = 50;

/** Resolves when no process carries the mark any more, as far as the system shows it. Ends nobody. */
export async function untilMarkIsGone(mark: string): Promise<void> {
  // No process has the number 0: only the mark counts.
  const root = { pid: 0, startedAt: 0, ownGroup: false, mark };
  const tree = new ProcessTree(root, systemProcessTable(), process.pid);
  tree.rootReaped();
  while (!tree.isEmpty(await tree.scan())) await sleep(PAUSE_MS, undefined, { ref: false });
}
