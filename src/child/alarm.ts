/** setTimeout() takes 31 bits (24.8 days); a longer delay fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `onDue` once, when performance.now() has reached `dueMs`. Never earlier: setTimeout() may fire a little too soon.
 *
 * @returns a function that cancels the alarm
 */
export function alarm(dueMs: number, onDue: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const leftMs = Math.ceil(dueMs - performance.now());
    timer = setTimeout(
      () => {
        if (performance.now() >= dueMs) onDue();
        else arm();
      },
      Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS),
    );
  };
  arm();
  return () => clearTimeout(timer);
}
