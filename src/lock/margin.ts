/**
 * The safety margin of a lease: between the holder's last chance to kill, the guard's, and the lease's end lies one margin
 * each. A thirtieth of the ttl, at least 250 ms, at most 2 s.
 */
export function marginMs(ttlMs: number): number {
  return Math.min(Math.max(ttlMs / 30, 250), 2_000);
}
