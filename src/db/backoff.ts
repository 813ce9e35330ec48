const FIRST_MS = 100;
const LONGEST_MS = 2_000;

/**
 * The pause before the database is tried again: 100 ms, doubled each time, 2 s at most, times a random 0.5 to 1.5,
 * so that clients that were refused together do not return together.
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 10)) * (0.5 + random());
}
