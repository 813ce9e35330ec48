import { durationOption, formatDuration, MAX_DURATION_MS } from './duration.js';
import { unlockLine } from './unlock-line.js';

/** A wait that is proposed is never shorter. */
const SHORTEST_MS = 5 * 60_000;
/** A proposal is a round number of these. */
const UNITS_MS = [60_000, 5 * 60_000, 60 * 60_000];

export interface EndedWait {
  waitedMs: number;
  /** What was left of the holder's lease at the end. */
  expiresInMs: number | null;
  /** The holder's instance id. */
  holder: string | null;
}

/** A wait timeout that is longer than the last one, and than what is left of the lease: `10m`. */
export function longerWait({ waitedMs, expiresInMs }: EndedWait): string {
  const neededMs = Math.max(SHORTEST_MS, 2 * waitedMs, expiresInMs ?? 0);
  // A round number that is at most a tenth too long.
  const unitMs = UNITS_MS.findLast((unit) => unit * 10 <= neededMs) ?? 60_000;
  return durationOption(Math.min(MAX_DURATION_MS, Math.ceil(neededMs / unitMs) * unitMs));
}

/** An alternative when the rest of the lease is too long to wait for; undefined when it is not. */
export function insteadOfWaiting({ expiresInMs, holder }: EndedWait): string | undefined {
  if (expiresInMs === null || holder === null || expiresInMs <= SHORTEST_MS) return undefined;
  return (
    `The lease ends in ${formatDuration(expiresInMs)}, or when its command ends. ` +
    `If you know that the command no longer runs: \`${unlockLine(holder)}\`.`
  );
}
