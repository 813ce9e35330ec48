import type { GuardedChild } from './guard.js';
import { leftoverTree } from './marked.js';
import { TreeEnd } from './tree-end.js';

/** What the guard passes to the release program: the child that it has ended, and the holder's data for the release. */
export interface ReleaseInput {
  /** Undefined: the holder was killed before the guard knew its child. */
  child: GuardedChild | undefined;
  crashRelease: string;
}

/**
 * Reads the line `PID START GROUP RELEASE` (guard.sh).
 *
 * @throws Error when it is not complete
 */
export function readReleaseInput(line: string): ReleaseInput {
  const [pid = '', start, group, text] = line.trim().split(' ');
  if (text === undefined) throw new Error('the line of the guard is not complete');
  const child =
    pid === '-'
      ? undefined
      : { pid: Number(pid), startedAt: start === '-' ? 0 : Number(start), ownGroup: group === 'own' };
  return { child, crashRelease: Buffer.from(text, 'base64').toString() };
}

/**
 * Ends the leftover processes of a killed holder's command, with SIGKILL. The guard has done so before, but it is a shell,
 * and a lease must never be released while its child runs.
 *
 * @returns false: a process is left, or processes cannot be seen. The lease must not be released then.
 */
export async function endLeftoverTree(mark: string, child: GuardedChild | undefined): Promise<boolean> {
  return new TreeEnd(leftoverTree(mark, child), performance.now()).run();
}
