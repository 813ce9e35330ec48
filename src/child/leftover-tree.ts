import type { GuardedChild } from './guard.js';
import { leftoverTree } from './marked.js';
import { TreeEnd } from './tree-end.js';

/** What the guard hands to the release program: the child that it has ended, and what the holder left for the release. */
export interface CrashRelease {
  /** Undefined: the holder died before the guard knew its child. */
  child: GuardedChild | undefined;
  crashRelease: string;
}

/**
 * Reads the line `PID START GROUP RELEASE` (guard.sh).
 *
 * @throws Error when it is not complete
 */
export function readCrashRelease(line: string): CrashRelease {
  const [pid = '', start, group, text] = line.trim().split(' ');
  if (text === undefined) throw new Error('the line of the guard is not complete');
  const child =
    pid === '-'
      ? undefined
      : { pid: Number(pid), startedAt: start === '-' ? 0 : Number(start), ownGroup: group === 'own' };
  return { child, crashRelease: Buffer.from(text, 'base64').toString() };
}

/**
 * Makes sure that nothing is left of a tree whose holder is dead: what is still found gets SIGKILL. The guard has looked
 * before; but it is a shell, and a lease that is released over a living child is what must never happen.
 *
 * @returns false: somebody is left, or nothing could be seen. Then the lease must not be released.
 */
export async function endLeftoverTree(mark: string, child: GuardedChild | undefined): Promise<boolean> {
  return new TreeEnd(leftoverTree(mark, child), performance.now()).run();
}
