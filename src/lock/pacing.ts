/** All waiters together stay near this rate, whatever their number. */
const POLLS_PER_SECOND = 50;
/** Where connections are few: the command needs some of them, and each poll takes one for a moment. */
const POLLS_PER_SECOND_ON_FEW_CONNECTIONS = 5;
/** While a few are notified of a release, the others only have to be there when one of these has got the lock. */
const POLLS_PER_SECOND_BESIDE_FEW = 20;
/** One could be dead already; two are enough. */
const ENOUGH_LISTENING = 2;
const SHORTEST_PAUSE_MS = 100;
/** About this many waiters bring their poll forward to a known expiry, or make a last attempt at a common timeout. */
const FEW = 5;
/** How soon after a known moment one looks: the few do not come in the same millisecond. */
const SOON_MS = 20;

const LONGEST_LOOK_MS = 2_000;
/** What a look itself may take, its connection included. */
const LOOK_TAKES_MS = 200;

/** What the last poll told. */
export interface Outlook {
  /** For how long this holder has had the lease; 0 when nobody could be named. */
  heldMs: number;
  /** What is left of its lease; null when nobody could be named. */
  expiresInMs: number | null;
  /** How many wait, me included. */
  queueLength: number;
  /** How many of them a release notifies. */
  listening?: number;
  /** The server, the database or our role has few connections left. */
  connectionsAreFew?: boolean;
}

export interface Pace {
  /** The longest of a lone waiter's pauses. */
  pollIntervalMs: number;
  /** Until the wait timeout. */
  leftMs: number;
  /** Looks at its run key meanwhile, and at the lock with it. */
  looks?: boolean;
  /** Random numbers from 0 to 1. */
  random: () => number;
}

export interface Pause {
  pauseMs: number;
  /** The poll after this pause is the last one. */
  isLast: boolean;
}

/**
 * How long to wait before the next poll: a tenth of what the holder has had so far, so that the pause grows geometrically
 * and starts again with each holder; but never so short that n waiters poll more than 50 times a second together, 20 times while
 * a few of them listen.
 */
export function nextPause(outlook: Outlook, pace: Pace): Pause {
  const { pollIntervalMs, random, looks = false } = pace;
  const own = Math.min(Math.max(outlook.heldMs / 10, SHORTEST_PAUSE_MS), pollIntervalMs);
  let pauseMs = Math.max(own, (outlook.queueLength * 1000) / pollsPerSecond(outlook)) * (0.5 + random());
  const { expiresInMs } = outlook;
  // Once it has passed, what is still in the way is looked at with the common pace.
  if (
    expiresInMs !== null &&
    expiresInMs > 0 &&
    expiresInMs < pauseMs &&
    random() < FEW / outlook.queueLength
  ) {
    pauseMs = expiresInMs + 1 + random() * SOON_MS;
  }
  if (looks && pauseMs > LONGEST_LOOK_MS) {
    // The looks tell when there is something to poll for. It polls to be counted as a waiter (queue.sql says for how long).
    pauseMs = Math.max(6_000, 120 * outlook.queueLength) * (0.5 + random() / 2);
  }
  const lastMs = lastAttemptMs(outlook, pace);
  return pauseMs < lastMs ? { pauseMs, isLast: false } : { pauseMs: lastMs, isLast: true };
}

/**
 * When the last attempt is made: at the wait timeout. Many waiters with a common timeout make theirs earlier, spread over
 * the time that the common pace gives them. When the lease that was last seen ends within one poll interval after the
 * timeout, it is made just after that end, by as many as the common pace allows: so those who started together with a
 * holder that crashed do not all give up a moment before its lease ends.
 */
function lastAttemptMs(outlook: Outlook, { pollIntervalMs, leftMs, random }: Pace): number {
  const { expiresInMs, queueLength } = outlook;
  if (expiresInMs !== null && expiresInMs >= leftMs && expiresInMs <= leftMs + pollIntervalMs) {
    const spreadMs = queueLength <= FEW ? SOON_MS : pollIntervalMs;
    if (random() < (2 * spreadMs) / sharedMs(outlook)) return expiresInMs + 1 + random() * spreadMs;
  }
  // Others can announce waiters that do not exist: no more than half of what is left is given up for them.
  const spreadMs = queueLength <= FEW ? 0 : Math.min(sharedMs(outlook), leftMs / 2);
  return Math.max(0, leftMs - random() * spreadMs);
}

function pollsPerSecond({ listening = 0, connectionsAreFew = false }: Outlook): number {
  if (connectionsAreFew) return POLLS_PER_SECOND_ON_FEW_CONNECTIONS;
  return listening >= ENOUGH_LISTENING ? POLLS_PER_SECOND_BESIDE_FEW : POLLS_PER_SECOND;
}

/** How soon a waiter with a run key looks at it again: within two seconds, however many wait, and not all at once. */
export function nextLookMs(random: () => number): number {
  return (LONGEST_LOOK_MS - LOOK_TAKES_MS) * (0.9 + random() / 10);
}

/** The pause at which n waiters together make 50 polls a second. */
function sharedMs({ queueLength }: Outlook): number {
  return (queueLength * 1000) / POLLS_PER_SECOND;
}
