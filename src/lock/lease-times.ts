/**
 * The safety margin of a lease: the time between the holder's SIGKILL and the guard's, and between the guard's and the lease's
 * end. A thirtieth of the ttl, at least 250 ms, at most 2 s.
 */
export function marginMs(ttlMs: number): number {
  return Math.min(Math.max(ttlMs / 30, 250), 2_000);
}

/**
 * When a child gets SIGTERM and SIGKILL, in milliseconds before its lease ends:
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

/** Whether a child has time left to run before SIGTERM. */
export function leavesTimeToRun(ttlMs: number, killGraceMs: number): boolean {
  return childTimes(ttlMs, killGraceMs).termBeforeEndMs < ttlMs;
}
