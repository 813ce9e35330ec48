import { forksSoFar, highestPid, lastPid, threadCount } from './proc-files.js';

/** What the kernel says of the numbers that it gives out; undefined where it does not tell. */
export interface PidCounters {
  lastPid: () => number | undefined;
  /** Processes and threads started since the machine was, of every pid namespace. */
  forks: () => number | undefined;
  threads: () => number | undefined;
  highestPid: () => number | undefined;
}

const SYSTEM_COUNTERS: PidCounters = { lastPid, forks: forksSoFar, threads: threadCount, highestPid };

/** Linux begins each turn above the numbers that it keeps for itself. */
const RESERVED = 300;
/** A thread keeps its own number from being used, and at most those of its group and its session. */
const NUMBERS_OF_A_THREAD = 3;

/**
 * Begun before a process is started, tells later whether everybody who was started after it has a higher number. Linux gives
 * the numbers out in turn, so that holds until it has begun a new turn; and it cannot have come round again as long as
 * fewer were started than numbers are free. False also means: not known.
 */
export function watchPidTurns(counters: PidCounters = SYSTEM_COUNTERS): (pid: number) => boolean {
  const before = counters.forks();
  return (pid) => {
    const last = counters.lastPid();
    if (before === undefined || last === undefined || last < pid) return false;
    // In this order: whatever was started before `last` was read is counted.
    const [forks, threads, highest] = [counters.forks(), counters.threads(), counters.highestPid()];
    if (forks === undefined || threads === undefined || highest === undefined) return false;
    return forks - before < highest - RESERVED - NUMBERS_OF_A_THREAD * threads;
  };
}
