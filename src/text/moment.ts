/** The last millisecond of the year 9999, and the first of the year 0: the range of four-digit years in ISO 8601. */
const LATEST_MS = 253_402_300_799_999;
const EARLIEST_MS = -62_167_219_200_000;

/**
 * A timestamp as text, in UTC, limited to the range of four-digit years: a lease may have any end that PostgreSQL can store,
 * and `status` and `unlock` must still work.
 */
export function formatMoment(epochMs: number): string {
  return dateOf(epochMs).toISOString();
}

/** The same as a date, which can always be written. */
export function dateOf(epochMs: number): Date {
  return new Date(Math.min(LATEST_MS, Math.max(EARLIEST_MS, epochMs)));
}
