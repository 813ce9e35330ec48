/** With fewer connections left the holder keeps none, and queue() in sql/functions/queue.sql lets no waiter listen. */
export const FEW_CONNECTIONS = 5;
/** The approximate rate of all waiters together. */
const POLLS_PER_SECOND = 50;
/** The rate when few connections are left: the command needs some of them. */
const POLLS_PER_SECOND_ON_FEW_CONNECTIONS = 5;
/** The rate while a few waiters are notified of a release. */
const POLLS_PER_SECOND_BESIDE_FEW = 20;
/** One of them may have exited; two are enough. */
const ENOUGH_LISTENING = 2;
const SHORTEST_PAUSE_MS = 100;
/** About this many waiters poll at a known expiry, or make a last attempt at a common timeout. */
const FEW = 5;
/** The polls at a known expiry are spread over this time. */
const SOON_MS = 20;

const LONGEST_CHECK_PAUSE_MS = 2_000;
/** The time for a check of the run key, its connection included. */
const CHECK_TAKES_MS = 200;

/** The result of the last poll. */
export interface LastPoll {
  /** How long this holder has held the lease; 0 when the holder is unknown. */
  heldMs: number;
  /** What is left of its lease; null when the holder is unknown. */
  expiresInMs: number | null;
  /** The number of waiters, this one included. */
  queueLength: number;
  /** The number of waiters that a release notifies. */
  listening?: number;
  /** Few connections are left for the server, the database or our role. */
  connectionsAreFew?: boolean;
}

export interface Pace {
  /** The longest pause of a single waiter, times a random 0.5 to 1.5. */
  pollIntervalMs: number;
  /** Until the wait timeout. */
  leftMs: number;
  /** It reads its run key, and whether the lock is held, between two polls. */
  checksRunKey?: boolean;
  /** Random numbers from 0 to 1. */
  random: () => number;
}

export interface Pause {
  pauseMs: number;
  /** The poll after this pause is the last one. */
  isLast: boolean;
}

/**
 * The pause before the next poll: a tenth of the time that the holder has held the lease, so that it grows geometrically and
 * begins again with each holder. It is long enough that n waiters together poll at most 50 times a second, or 20 times while
 * a few of them listen.
 */
export function nextPause(lastPoll: LastPoll, pace: Pace): Pause {
  const { pollIntervalMs, random, checksRunKey = false } = pace;
  const own = Math.min(Math.max(lastPoll.heldMs / 10, SHORTEST_PAUSE_MS), pollIntervalMs);
  let pauseMs = Math.max(own, (lastPoll.queueLength * 1000) / pollsPerSecond(lastPoll)) * (0.5 + random());
  const { expiresInMs } = lastPoll;
  // After it has passed, the usual pause applies.
  if (
    expiresInMs !== null &&
    expiresInMs > 0 &&
    expiresInMs < pauseMs &&
    random() < FEW / lastPoll.queueLength
  ) {
    pauseMs = expiresInMs + 1 + random() * SOON_MS;
  }
  if (checksRunKey && pauseMs > LONGEST_CHECK_PAUSE_MS) {
    // The checks show when to poll. It polls only to stay registered as a waiter (queue.sql says for how long).
    pauseMs = Math.max(6_000, 120 * lastPoll.queueLength) * (0.5 + random() / 2);
  }
  const lastMs = lastAttemptMs(lastPoll, pace);
  return pauseMs < lastMs ? { pauseMs, isLast: false } : { pauseMs: lastMs, isLast: true };
}

/**
 * When the last attempt is made: at the wait timeout. Many waiters make it earlier, spread according to the common rate. When
 * the holder's lease ends within one poll interval after the timeout, as many waiters as the common rate allows make it just
 * after that end: otherwise waiters that started together with a holder that crashed would all give up just before it.
 */
function lastAttemptMs(lastPoll: LastPoll, { pollIntervalMs, leftMs, random }: Pace): number {
  const { expiresInMs, queueLength } = lastPoll;
  if (expiresInMs !== null && expiresInMs >= leftMs && expiresInMs <= leftMs + pollIntervalMs) {
    const spreadMs = queueLength <= FEW ? SOON_MS : pollIntervalMs;
    if (random() < (2 * spreadMs) / sharedMs(lastPoll)) return expiresInMs + 1 + random() * spreadMs;
  }
  // Another role can register waiters that do not exist, so at most half of the remaining time is given up.
  const spreadMs = queueLength <= FEW ? 0 : Math.min(sharedMs(lastPoll), leftMs / 2);
  return Math.max(0, leftMs - random() * spreadMs);
}

function pollsPerSecond({ listening = 0, connectionsAreFew = false }: LastPoll): number {
  if (connectionsAreFew) return POLLS_PER_SECOND_ON_FEW_CONNECTIONS;
  return listening >= ENOUGH_LISTENING ? POLLS_PER_SECOND_BESIDE_FEW : POLLS_PER_SECOND;
}

/** The pause before the next check of a run key: within two seconds for any number of waiters, and randomized. */
export function nextCheckMs(random: () => number): number {
  return (LONGEST_CHECK_PAUSE_MS - CHECK_TAKES_MS) * (0.9 + random() / 10);
}

/** The pause at which n waiters together make 50 polls a second. */
function sharedMs({ queueLength }: LastPoll): number {
  return (queueLength * 1000) / POLLS_PER_SECOND;
}
