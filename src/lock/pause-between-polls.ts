import { setTimeout as sleep } from 'node:timers/promises';
import type { Notification } from '../db/notification.js';
import type { Look, RunDescription } from './answers.js';
import type { LockCalls } from './calls.js';
import { orAborted } from './or-aborted.js';
import { nextLookMs } from './pacing.js';
import type { WaitReport } from './wait-report.js';

interface PauseOptions {
  /** A release is heard of on our connection, which is kept for that. */
  listens: boolean;
  /** For so long a notification does not end the pause; it is heard afterwards. */
  quietMs: number;
  /** Asks whether the work of the run key is done; undefined without a run key. */
  look: (() => Promise<Look>) | undefined;
  /** Leaves the queue: a look that finds the work done has not. */
  leave: () => Promise<unknown>;
  report: WaitReport;
  signal: AbortSignal;
}

/**
 * Holds no connection meanwhile, unless releases are notified on it; reports what is due; and looks at the run key: many wait
 * for the same work, and none has to wait for its poll to see that it is done.
 * @returns `notified`: the lock was found free, or a release was notified, before the pause passed. Or the run that has done
 * the work of the run key, or has failed.
 * @throws the signal's reason when it is aborted.
 */
export async function pauseBetweenPolls(
  { database }: LockCalls,
  pauseMs: number,
  { listens, quietMs, look, leave, report, signal }: PauseOptions,
): Promise<'passed' | 'notified' | RunDescription> {
  const startedAtMs = performance.now();
  const [endsAtMs, hearsFromMs] = [startedAtMs + pauseMs, startedAtMs + quietMs];
  const disconnect = (): void => {
    if (pauseMs > 0 && !listens) database.disconnect();
  };
  disconnect();
  let lookAtMs = look === undefined ? Infinity : performance.now() + nextLookMs(Math.random);
  for (;;) {
    const nowMs = performance.now();
    if (nowMs >= endsAtMs) return 'passed';
    if (look !== undefined && nowMs >= lookAtMs) {
      // What is wrong with the database, the next poll meets and tells.
      const seen = await orAborted(
        look().catch(() => undefined),
        signal,
      );
      if (seen?.run != null) {
        // If that fails, the row of the queue ages out.
        await leave().catch(() => undefined);
        return seen.run;
      }
      if (seen?.isHeld === false) return 'notified';
      disconnect();
      lookAtMs = performance.now() + nextLookMs(Math.random);
    }
    const hears = listens && nowMs >= hearsFromMs;
    const wakeAtMs = Math.min(
      endsAtMs,
      lookAtMs,
      nowMs + report.dueInMs(),
      nowMs < hearsFromMs ? hearsFromMs : Infinity,
    );
    const sleepMs = Math.max(0, wakeAtMs - performance.now());
    if (await sleepUntilNotified(sleepMs, hears ? database.notification : undefined, signal))
      return 'notified';
    report.tellWhatIsDue();
  }
}

/** @returns whether the notification arrived before the time passed. @throws the signal's reason when it is aborted. */
async function sleepUntilNotified(
  ms: number,
  notification: Notification | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const ended = new AbortController();
  const sleeping = sleep(ms, false, { signal: ended.signal });
  const notified = notification?.arrived().then(() => true);
  try {
    return await orAborted(notified === undefined ? sleeping : Promise.race([sleeping, notified]), signal);
  } finally {
    ended.abort();
  }
}
