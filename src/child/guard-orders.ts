import { bootTenths } from './boot-clock.js';
import { readReleaseInput, type ReleaseInput } from './leftover-tree.js';

/** A line of the holder, as the guard reads it (guard.sh describes it). */
export interface ReceivedOrders extends Pick<ReleaseInput, 'child'> {
  /** When the tree is killed, in tenths of a second of /proc/uptime. Undefined: not known, or there is no deadline. */
  dueTenths: number | undefined;
  /** The same on performance.now()'s clock, for systems without /proc/uptime. Infinity: there is no deadline yet. */
  dueAtMs: number;
  /** From SIGTERM to SIGKILL. */
  graceMs: number;
  /** The line for the release program. Undefined: nothing is to be released. */
  release: string | undefined;
}

/** @throws Error when the line is not complete */
export function readOrders(line: string): ReceivedOrders {
  const [word, due, left, grace, ...rest] = line.split(' ');
  const release = rest.join(' ');
  if (word !== 'orders' || !/^\d+$/.test(grace ?? '')) throw new Error('these are no orders');
  return {
    dueTenths: due === '-' || left === '-' ? undefined : Number(due),
    dueAtMs: left === '-' ? Infinity : performance.now() + Number(left) * 100,
    graceMs: Number(grace) * 100,
    child: readReleaseInput(release).child,
    release: rest[3] === '-' ? undefined : release,
  };
}

/** Zero or less: the tree is to be killed. */
export function msUntilDue({ dueTenths, dueAtMs }: ReceivedOrders): number {
  const now = dueTenths === undefined ? undefined : bootTenths();
  return now === undefined || dueTenths === undefined ? dueAtMs - performance.now() : (dueTenths - now) * 100;
}
