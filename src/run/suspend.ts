import { bootTenths } from '../child/boot-clock.js';

const EVERY_MS = 1_000;
/** The boot clock has tenths of a second, and the two clocks are not read at the same moment. */
const TOLERANCE_MS = 400;

export interface Clocks {
  /** Stops while the machine is suspended. */
  monotonicMs: () => number;
  /** Advances while the machine is suspended; undefined where there is no such clock. */
  bootMs: () => number | undefined;
}

const SYSTEM_CLOCKS: Clocks = {
  monotonicMs: () => performance.now(),
  bootMs: () => {
    const tenths = bootTenths();
    return tenths === undefined ? undefined : tenths * 100;
  },
};

/**
 * Calls `onResume` after the machine was suspended: our clock stopped in the meantime, the database's did not.
 * @returns a function that stops watching.
 */
export function watchSuspend(
  onResume: (suspendedMs: number) => void,
  clocks: Clocks = SYSTEM_CLOCKS,
  everyMs = EVERY_MS,
): () => void {
  const ahead = (): number => (clocks.bootMs() ?? clocks.monotonicMs()) - clocks.monotonicMs();
  let known = ahead();
  const timer = setInterval(() => {
    const suspendedMs = ahead() - known;
    if (suspendedMs < TOLERANCE_MS) return;
    known += suspendedMs;
    onResume(suspendedMs);
  }, everyMs);
  return () => clearInterval(timer);
}
