import type { ChildPart, Deed, RunPlan, Schedule } from './schedule.js';

/** A run that nothing happens to. */
export const CALM: RunPlan = {
  startAtMs: 0,
  ttlMs: 3_000,
  killGraceMs: 200,
  child: { runMs: 100 },
  childThroughRelay: false,
  stdout: 'file',
  skewMs: 0,
};

/** A child that would work on long after the lease is over, if nobody ended it; no session of it holds a takeover up. */
const SILENT: ChildPart = { runMs: 9_000, silent: true };
const DEAF: ChildPart = { ...SILENT, ignoresTerm: true };

/** The holder is struck while its child works, and somebody else waits for the lock. */
function struck(deed: Deed, child: ChildPart): Schedule {
  return {
    seed: 0,
    runs: [
      { ...CALM, child },
      // So late that the other one has the lock, on a busy machine too. Its lease is long: on such a machine its command, which
      // is counted once it has connected, needs more than the 2.3 s that a lease of 3 s leaves to it.
      { ...CALM, startAtMs: 1_500, ttlMs: 30_000, child: { runMs: 1_000 } },
    ],
    faults: [{ run: 0, when: { at: 'child', word: 'silent', afterMs: 100 }, deed }],
  };
}

/**
 * What goes wrong whenever the guard does not do its part. Few random schedules have a child that outlives its holder's lease
 * and no session, so these are played each time.
 */
export const GUARDS_PART: Readonly<Record<string, Schedule>> = {
  'the holder is killed': struck({ kind: 'kill holder' }, SILENT),
  'the holder is killed, and its child heeds no SIGTERM': struck({ kind: 'kill holder' }, DEAF),
  // Long enough for the waiter to start its command meanwhile.
  'the holder is stopped past its lease': struck({ kind: 'stop holder', forMs: CALM.ttlMs + 4_000 }, SILENT),
  'the guard is killed, and at once the holder': struck({ kind: 'kill guard, then holder', gapMs: 0 }, DEAF),
};
