import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const PACING = fileURLToPath(new URL('../src/lock/pacing.ts', import.meta.url));
const HELD_MS = 60_000;
const EXPIRES_IN_MS = 3_600_000;

/**
 * How many polls a second n waiters make on a held lock: the program's own pacing on a simulated clock. That is exact
 * for any n, because a waiter's pauses depend only on the queue's length.
 * @returns {Promise<(waiters: number) => number>}
 */
export async function simulatePace() {
  const nextPause = await loadPacing();
  return (waiters) => {
    const outlook = { heldMs: HELD_MS, expiresInMs: EXPIRES_IN_MS, queueLength: waiters };
    const pace = { pollIntervalMs: 1_000, leftMs: EXPIRES_IN_MS * 10, random: Math.random };
    // Long enough that every waiter polls about ten times.
    const windowMs = 10 * Math.max(1_000, (waiters * 1_000) / 50);
    let polls = 0;
    for (let waiter = 0; waiter < waiters; waiter++) {
      let nowMs = Math.random() * nextPause(outlook, pace).pauseMs;
      for (; nowMs < windowMs; nowMs += nextPause(outlook, pace).pauseMs) polls++;
    }
    return polls / (windowMs / 1_000);
  };
}

/** @returns {Promise<typeof import('../src/lock/pacing.js').nextPause>} from its source: the package does not export it */
async function loadPacing() {
  const { outputFiles } = await build({
    entryPoints: [PACING],
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
    logLevel: 'error',
  });
  const text = outputFiles[0]?.contents ?? new Uint8Array();
  const { nextPause } = await import(`data:text/javascript;base64,${Buffer.from(text).toString('base64')}`);
  return nextPause;
}
