import type { Parameters } from 'fast-check';

/** Thousands for those who have the time: MODEL_RUNS=5000. */
export const MODEL_RUNS = Number(process.env.MODEL_RUNS ?? 300);
/** MODEL_SEED, and MODEL_PATH with it, repeat a run: both stand in the message of a failure. */
export const SEED = Number(process.env.MODEL_SEED ?? Date.now() & 0x7fffffff);
/** A run takes some 30 ms; a machine that is busy with other tests is given several times that. */
export const MODEL_LIMIT_MS = 60_000 + MODEL_RUNS * 200;

const path = process.env.MODEL_PATH;

export function replayable(numRuns: number): Parameters<[unknown]> {
  return { numRuns, seed: SEED, ...(path === undefined ? {} : { path }), includeErrorInReport: true };
}
