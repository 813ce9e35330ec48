import type { Notification } from '../db/notification.js';
import type { RunKeyState, RunDescription } from './answers.js';
import type { LockCalls } from './calls.js';
import { orAborted } from './or-aborted.js';
import { nextCheckMs } from './pacing.js';
import type { WaitReport } from './wait-report.js';

interface PauseOptions {
  /** A release notifies our connection, which is kept for that. */
  listens: boolean;
  /** A notification that arrives earlier ends the pause only after this time. */
  quietMs: number;
  /** Reads whether the work of the run key is done; undefined without a run key. */
  readRunKey: (() => Promise<RunKeyState>) | undefined;
  /** Leaves the queue, after the work was found to be done. */
  leave: () => Promise<unknown>;
  report: WaitReport;
  signal: AbortSignal;
}

/**
 * Waits for the next poll without a connection, unless releases are notified on it. Emits events that are due, and reads the
 * run key, so that waiters for the same work notice its end before their next poll.
 * @returns `notified`: the lock was found free, or a notification arrived, before the pause passed. Or the run that has done
 * the work of the run key, or has failed.
 * @throws the signal's reason when it is aborted.
 */
export async function pauseBetweenPolls(
  { database }: LockCalls,
  pauseMs: number,
  { listens, quietMs, readRunKey, leave, report, signal }: PauseOptions,
): Promise<'passed' | 'notified' | RunDescription> {
  const startedAtMs = performance.now();
  const [endsAtMs, listensFromMs] = [startedAtMs + pauseMs, startedAtMs + quietMs];
  const disconnect = (): void => {
    if (pauseMs > 0 && !listens) database.disconnect();
  };
  disconnect();
  let checkAtMs = readRunKey === undefined ? Infinity : performance.now() + nextCheckMs(Math.random);
  for (;;) {
    const nowMs = performance.now();
    if (nowMs >= endsAtMs) return 'passed';
    if (readRunKey !== undefined && nowMs >= checkAtMs) {
      // The next poll reports an error of the database.
      const seen = await orAborted(
        readRunKey().catch(() => undefined),
        signal,
      );
      if (seen?.run != null) {
        // If that fails, the row in the queue ages out.
        await leave().catch(() => undefined);
        return seen.run;
      }
      if (seen?.isHeld === false) return 'notified';
      disconnect();
      checkAtMs = performance.now() + nextCheckMs(Math.random);
    }
    const isListening = listens && nowMs >= listensFromMs;
    const wakeAtMs = Math.min(
      endsAtMs,
      checkAtMs,
      nowMs + report.dueInMs(),
      nowMs < listensFromMs ? listensFromMs : Infinity,
    );
    const sleepMs = Math.max(0, wakeAtMs - performance.now());
    if (await sleepUntilNotified(sleepMs, isListening ? database.notification : undefined, signal))
      return 'notified';
    report.reportDue();
  }
}

/** @returns whether the notification arrived before the time passed. @throws the signal's reason when it is aborted. */
async function sleepUntilNotified(
  ms: number,
  notification: Notification | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<false>((resolve) => (timer = setTimeout(resolve, ms, false)));
  const notified = notification?.arrived().then(() => true);
  try {
    return await orAborted(notified === undefined ? passed : Promise.race([passed, notified]), signal);
  } finally {
    clearTimeout(timer);
  }
}
