import type { Parameters } from 'fast-check';

/** MODEL_RUNS=5000 runs thousands. */
export const MODEL_RUNS = Number(process.env.MODEL_RUNS ?? 300);
/** MODEL_SEED, with MODEL_PATH, repeats a run: a failure's message has both. */
export const SEED = Number(process.env.MODEL_SEED ?? Date.now() & 0x7fffffff);
/** A run takes about 30 ms; a machine that is busy with other tests gets several times that. */
export const MODEL_LIMIT_MS = 60_000 + MODEL_RUNS * 200;

const path = process.env.MODEL_PATH;

export function replayable(numRuns: number): Parameters<[unknown]> {
  return { numRuns, seed: SEED, ...(path === undefined ? {} : { path }), includeErrorInReport: true };
}
