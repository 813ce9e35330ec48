import { bootTenths } from '../child/boot-clock.js';

const EVERY_MS = 1_000;
/** The boot clock is read in tenths of a second, and not in the same moment as ours. */
const TOLERANCE_MS = 400;

export interface Clocks {
  /** Stands still while the machine sleeps. */
  monotonicMs: () => number;
  /** Does not; undefined where there is no such clock. */
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
 * Tells when the machine has slept (a suspended laptop, a paused virtual machine that noticed): our deadlines are counted
 * on a clock that stood still meanwhile, the database's did not.
 * @returns stops watching.
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
