import { marginMs } from '../lock/margin.js';

/**
 * When a child is ended, in milliseconds before its lease ends:
 *
 *     acquired ........ SIGTERM .. kill grace .. SIGKILL .. margin .. guard's SIGKILL .. margin .. expires_at
 *
 * With the defaults (ttl 30 s, grace 5 s, margin 1 s) a child has 23 s before SIGTERM, and 28 s in all.
 */
export interface ChildTimes {
  termBeforeEndMs: number;
  killBeforeEndMs: number;
}

export function childTimes(ttlMs: number, killGraceMs: number): ChildTimes {
  const killBeforeEndMs = 2 * marginMs(ttlMs);
  return { termBeforeEndMs: killBeforeEndMs + killGraceMs, killBeforeEndMs };
}

/** Whether a child would have any time at all before it is asked to end. */
export function leavesTimeToRun(ttlMs: number, killGraceMs: number): boolean {
  return childTimes(ttlMs, killGraceMs).termBeforeEndMs < ttlMs;
}
