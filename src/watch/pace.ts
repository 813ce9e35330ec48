/** The approximate rate of all watchers together: below 100 a second also where it is exceeded by chance. */
const READS_PER_SECOND = 80;
/** How many connections all watchers together have open, where reads take long: the server is busy then. */
const CONNECTIONS = 16;
const LONGEST_PAUSE_MS = 40_000;
const SHORTEST_PAUSE_MS = 1_000;
/** Watchers that cannot announce themselves (a replica, no lock schema, no database) do not know how many they are. */
const FIRST_ALONE_MS = 2_000;
const LONGEST_ALONE_MS = 10_000;
/** With a few watchers, the last read is made at the wait timeout. */
const FEW = 5;

/** The result of the last read. */
export interface LastRead {
  /** The number of watchers, this one included; null: not known. */
  watchers: number | null;
  /** How long the last read took, its connection included. */
  readMs: number;
  /** How many reads in a row did not show that. */
  readsAlone: number;
}

export interface ReadPause {
  pauseMs: number;
  /** The read after this pause is the last one. */
  isLast: boolean;
}

/**
 * The pause before the next read, randomized: long enough that n watchers together read less than 100 times a second, over less
 * than 20 connections. Where their number is not known, it grows from 2 s to 10 s.
 */
export function nextRead(lastRead: LastRead, leftMs: number, random: () => number = Math.random): ReadPause {
  const sharedMs = ownPauseMs(lastRead);
  const pauseMs = sharedMs * (0.5 + random());
  // The last reads before a common timeout are spread, over half of the remaining time at most.
  const isFew = lastRead.watchers !== null && lastRead.watchers <= FEW;
  const lastMs = Math.max(0, leftMs - (isFew ? 0 : random() * Math.min(sharedMs, leftMs / 2)));
  return pauseMs < lastMs ? { pauseMs, isLast: false } : { pauseMs: lastMs, isLast: true };
}

function ownPauseMs({ watchers, readMs, readsAlone }: LastRead): number {
  if (watchers !== null) {
    const busyMs = Math.min(LONGEST_PAUSE_MS, (watchers * readMs) / CONNECTIONS);
    return Math.max(SHORTEST_PAUSE_MS, (watchers * 1000) / READS_PER_SECOND, busyMs);
  }
  return Math.min(LONGEST_ALONE_MS, FIRST_ALONE_MS * 1.25 ** Math.max(0, readsAlone - 1));
}
