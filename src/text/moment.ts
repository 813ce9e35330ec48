/** The last millisecond of the year 9999, and the first of the year 0: further off, ISO 8601 has no four digits for a year. */
const LATEST_MS = 253_402_300_799_999;
const EARLIEST_MS = -62_167_219_200_000;

/**
 * A moment as text, in UTC. One that no date can tell is told as the nearest that can be: a client may give its lease any end
 * that PostgreSQL knows, and to look at it, or to break it, must not fail over that.
 */
export function formatMoment(epochMs: number): string {
  return dateOf(epochMs).toISOString();
}

/** The same as a date, which can always be written. */
export function dateOf(epochMs: number): Date {
  return new Date(Math.min(LATEST_MS, Math.max(EARLIEST_MS, epochMs)));
}
