import type { RunDescription } from './answers.js';

/** There is nothing to wait for: the work of the run key is done, or has failed just now. */
export class RunSettled extends Error {
  constructor(readonly run: RunDescription) {
    super(`the work of the run key ${run.succeeded ? 'is done' : 'has failed'}`);
  }
}
