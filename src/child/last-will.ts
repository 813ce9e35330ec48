import type { GuardedChild } from './guard.js';
import { orphanTree } from './marked.js';
import { TreeEnd } from './tree-end.js';

/** What the guard hands to the release program: whom it has ended, and the holder's will. */
export interface LastWill {
  /** Undefined: the holder died before it could tell of its child. */
  child: GuardedChild | undefined;
  will: string;
}

/**
 * Reads the line `PID START GROUP WILL` (guard.sh).
 *
 * @throws Error when it is not complete
 */
export function readLastWill(line: string): LastWill {
  const [pid = '', start, group, will] = line.trim().split(' ');
  if (will === undefined) throw new Error('the guard handed over no will');
  const child =
    pid === '-'
      ? undefined
      : { pid: Number(pid), startedAt: start === '-' ? 0 : Number(start), ownGroup: group === 'own' };
  return { child, will: Buffer.from(will, 'base64').toString() };
}

/**
 * Makes sure that nothing is left of a tree whose holder is dead: what is still found gets SIGKILL. The guard has looked
 * before; but it is a shell, and a lease that is released over a living child is what must never happen.
 *
 * @returns false: somebody is left, or nothing could be seen. Then the lease must not be released.
 */
export async function endOrphanTree(mark: string, child: GuardedChild | undefined): Promise<boolean> {
  return new TreeEnd(orphanTree(mark, child), performance.now()).run();
}
