/** The longest duration that can be configured: 24 days. Node's timers fire at once when they are given 2^31 ms (24.9 days) or more. */
export const MAX_DURATION_MS = 24 * 24 * 3_600_000;

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof UNIT_MS;

/**
 * Parses a duration: `500ms`, `30s`, `1.5s`, `5m`, `1h`, `2d`, `0`. A bare number other than 0 is refused,
 * because some readers take it for seconds and others for milliseconds.
 * @returns whole milliseconds; undefined when the text is no duration, or longer than `longestMs`.
 */
export function parseDuration(text: string, longestMs = MAX_DURATION_MS): number | undefined {
  const trimmed = text.trim();
  if (trimmed === '0') return 0;
  const match = /^(\d+(?:\.\d{1,6})?) ?(ms|s|m|h|d)$/.exec(trimmed);
  if (match === null) return undefined;
  const ms = Number(match[1]) * UNIT_MS[match[2] as Unit];
  // A fraction of a millisecond must not become the 0 that means "do not wait".
  const whole = ms > 0 ? Math.max(1, Math.round(ms)) : 0;
  return whole > longestMs ? undefined : whole;
}

/** Writes a duration for people: `850ms`, `2.5s` (below 10 s), `12s`, `1m 30s`, `2h 5m`, `3d 4h`. Negative ones count as 0. */
export function formatDuration(ms: number): string {
  const rounded = Math.max(0, Math.round(ms));
  if (rounded < 1_000) return `${rounded}ms`;
  // 9.95 s and more would be written "10.0s" with a decimal.
  if (rounded < 9_950) return `${(rounded / 1_000).toFixed(1).replace('.0', '')}s`;
  const seconds = Math.round(rounded / 1_000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return joined(Math.floor(seconds / 60), 'm', seconds % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return joined(Math.floor(minutes / 60), 'h', minutes % 60, 'm');
  const hours = Math.round(minutes / 60);
  return joined(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function joined(large: number, largeUnit: Unit, small: number, smallUnit: Unit): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit} ${small}${smallUnit}`;
}

/** Writes a duration so that parseDuration() reads it: `90s`, `2m`, `1500ms`. */
export function durationOption(ms: number): string {
  const units: Unit[] = ['h', 'm', 's'];
  const unit = units.find((candidate) => ms > 0 && ms % UNIT_MS[candidate] === 0) ?? 'ms';
  return `${Math.round(ms / UNIT_MS[unit])}${unit}`;
}
