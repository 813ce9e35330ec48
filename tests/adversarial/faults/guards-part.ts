import type { ChildPart, Deed, RunPlan, Schedule } from './schedule.js';

/** A run without a fault. */
export const CALM: RunPlan = {
  startAtMs: 0,
  ttlMs: 3_000,
  killGraceMs: 200,
  child: { runMs: 100 },
  childThroughRelay: false,
  stdout: 'file',
  skewMs: 0,
};

/** A child that would continue long after the lease ends; it has no session that delays a takeover. */
const SILENT: ChildPart = { runMs: 9_000, silent: true };
const DEAF: ChildPart = { ...SILENT, ignoresTerm: true };

/** A fault hits the holder while its child runs, and another run waits for the lock. */
function struck(deed: Deed, child: ChildPart): Schedule {
  return {
    seed: 0,
    runs: [
      { ...CALM, child },
      // Late enough that the other run has the lock, on a busy machine too. Its lease is long, because its command
      // counts only once it has connected, which can take longer than the 2.3 s of a lease of 3 s.
      { ...CALM, startAtMs: 1_500, ttlMs: 30_000, child: { runMs: 1_000 } },
    ],
    faults: [{ run: 0, when: { at: 'child', word: 'silent', afterMs: 100 }, deed }],
  };
}

/**
 * The faults that only the guard can handle. Few random schedules have a child that outlives its holder's lease
 * without a session, so these run each time.
 */
export const GUARDS_PART: Readonly<Record<string, Schedule>> = {
  'the holder is killed': struck({ kind: 'kill holder' }, SILENT),
  'the holder is killed, and its child heeds no SIGTERM': struck({ kind: 'kill holder' }, DEAF),
  // Long enough for the waiter to start its command.
  'the holder is stopped past its lease': struck({ kind: 'stop holder', forMs: CALM.ttlMs + 4_000 }, SILENT),
  'the guard is killed, and at once the holder': struck({ kind: 'kill guard, then holder', gapMs: 0 }, DEAF),
};
