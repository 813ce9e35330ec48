import { setTimeout as sleep } from 'node:timers/promises';
import type { Bell } from '../db/bell.js';
import { orAborted } from './or-aborted.js';

/**
 * Sleeps until the time is over or the bell rings.
 * @returns whether it rang.
 * @throws the signal's reason when it is aborted.
 */
export async function nap(ms: number, bell: Bell | undefined, signal: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const sleeping = sleep(ms, false, { signal: over.signal });
  const rung = bell?.heard().then(() => true);
  try {
    return await orAborted(rung === undefined ? sleeping : Promise.race([sleeping, rung]), signal);
  } finally {
    over.abort();
  }
}
