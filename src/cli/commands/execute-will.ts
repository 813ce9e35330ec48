import { readFileSync } from 'node:fs';
import { executeWill } from '../../run/last-will.js';

/** The guard's own command: it hands over on stdin what a dead holder left to it. */
export const EXECUTE_WILL = 'execute-will';

export async function executeWillCommand(): Promise<number> {
  return (await executeWill(readFileSync(0, 'utf8'))) ? 0 : 1;
}
