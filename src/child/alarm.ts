/** setTimeout takes 31 bits (24.8 days); above that it fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `ring` once, when performance.now() has reached `dueMs`: never earlier (setTimeout may fire a little before
 * its time) and however far away that is.
 *
 * @returns switches the alarm off
 */
export function alarm(dueMs: number, ring: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    const leftMs = Math.ceil(dueMs - performance.now());
    timer = setTimeout(
      () => {
        if (performance.now() >= dueMs) ring();
        else arm();
      },
      Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS),
    );
  };
  arm();
  return () => clearTimeout(timer);
}
