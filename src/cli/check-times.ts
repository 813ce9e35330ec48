import { durationOption, formatDuration, MAX_DURATION_MS } from '../text/duration.js';
import { UsageError } from '../errors.js';
import { childTimes, leavesTimeToRun } from '../lock/lease-times.js';
import { written } from './own-option.js';

/** Shorter kill graces to suggest, in this order. */
const GRACES_MS = [5_000, 100, 0];

/**
 * Checks that a lease leaves its command time to run. `nameOf` returns the option or the variable that was set.
 * @throws {UsageError} whose hint names values that are accepted.
 */
export function checkTimes(
  { ttl, killGrace }: { ttl: number; killGrace: number },
  nameOf: (key: 'ttl' | 'killGrace') => string,
): void {
  if (leavesTimeToRun(ttl, killGrace)) return;
  const neededMs = childTimes(ttl, killGrace).termBeforeEndMs;
  const [ttlName, graceName] = [nameOf('ttl'), nameOf('killGrace')];
  const longerMs = Math.min(MAX_DURATION_MS, Math.ceil((neededMs * 4) / 1_000) * 1_000);
  const shorterMs = GRACES_MS.find((graceMs) => graceMs < killGrace && leavesTimeToRun(ttl, graceMs));
  const proposals = [
    ...(leavesTimeToRun(longerMs, killGrace)
      ? [`a longer lease, for example ${written(ttlName, durationOption(longerMs))}`]
      : []),
    ...(shorterMs === undefined
      ? []
      : [`a shorter kill grace, for example ${written(graceName, durationOption(shorterMs))}`]),
  ];
  throw new UsageError(
    `${written(ttlName, durationOption(ttl))} leaves the command no time: ${written(graceName, durationOption(killGrace))} ` +
      `and the safety margins take ${formatDuration(neededMs)} of it.`,
    // Changing one alone may not be enough.
    `Give ${proposals.join(', or ') || `for example ${written(ttlName, '30s')} and ${written(graceName, '5s')}`}.`,
  );
}
