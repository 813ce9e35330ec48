/**
 * The one list of everything that can happen. Both readers of the event stream (the JSON lines on stdout and the
 * lines for people on stderr) take exactly this union; src/audit/audit-event.schema.json is held against it by a test.
 * All durations are in milliseconds, all times ISO 8601 in UTC, ending in `Z`.
 */
export const EVENT_VERSION = 1;

export const OUTCOMES = [
  'completed',
  'skipped',
  'conflict',
  'deadline',
  'lost',
  'interrupted',
  'error',
] as const;
/**
 * How a run ended. `completed`: the child ended by itself, whatever its exit code. `skipped`: there was nothing to do for its
 * run key.
 */
export type Outcome = (typeof OUTCOMES)[number];

/** A database session that keeps a takeover waiting: whose it is, and from where. */
export interface OrphanedSession {
  pid: number;
  /** null: unknown. */
  role: string | null;
  /** The client's address; null: hidden, or over a Unix socket. */
  client: string | null;
}

/** Who holds the lock, as far as the last look at it told. */
export interface HolderSummary {
  /** The holder's instance id; null when nobody could be named (somebody was just changing the row). */
  holder: string | null;
  holderHost: string | null;
  /** The holder's command line, redacted. */
  holderCommand: string | null;
  /** For how long the holder has had its lease. */
  heldMs: number | null;
  /** What is left of the holder's lease on the database's clock. */
  expiresInMs: number | null;
}

/** What the database's history has a chained row of. */
export interface Audited {
  /**
   * The row's SHA-256 in hexadecimal, which covers all chained rows before it: kept outside of the database, it is what shows
   * that somebody has rewritten them. null: the history has lost its chain.
   */
  auditHash: string | null;
}

export interface EventFields {
  /** The lock schema was created (fromVersion null) or upgraded. */
  'schema.applied': { fromVersion: number | null; toVersion: number };
  /** The database cannot be reached or has no place for us now; it is tried again. */
  'database.unavailable': { code: string; message: string; attempts: number };
  'lock.waiting': HolderSummary & { queueLength: number; waitedMs: number };
  /** Too many attempts came from here: this one was not made, and the next comes after `retryAfterMs` at the earliest. */
  'lock.rate_limited': { retryAfterMs: number };
  'lock.acquired': { waitedMs: number; polls: number; ttlMs: number; expiresAt: string } & Audited;
  /** The lease is over, but database sessions of it are still at work; `denied` of them our role may not end. */
  'lock.orphans': { holder: string; pids: number[]; sessions: OrphanedSession[]; denied: number };
  /** This run is inside the command of another run, which holds the lock: it runs under that lease, and its deadline. */
  'lock.inherited': { holder: string; expiresAt: string };
  /** The lease that was acquired had expired without having been released. */
  'lock.takeover': { previousInstanceId: string; expiredMs: number; sessionsEnded: number } & Audited;
  /** The child is asked to end after `deadlineMs`. */
  'child.started': { childPid: number; command: string; deadlineMs: number };
  /** Exactly one of `exitCode` and `signal` is not null. */
  'child.exited': { exitCode: number | null; signal: string | null; durationMs: number };
  /** Most of the lease is used, and the child still runs; it is asked to end after `deadlineMs`. */
  'lease.expiring': { expiresInMs: number; deadlineMs: number };
  /** The child, or the library's user, decided that the lease shall last longer. */
  'lease.extended': { ttlMs: number; expiresAt: string } & Audited;
  /** The child reached its deadline and is being ended. */
  'child.deadline': { ttlMs: number; ranMs: number };
  /** Processes that the child left running when it ended; they are being ended. */
  'child.leftover': { count: number };
  'lock.released': { heldMs: number } & Audited;
  /** The lease could not be released; it ends by itself at `expiresAt`. */
  'lock.release_failed': { code: string; message: string; expiresAt: string };
  /** Before the lease's end, it turned out to be somebody else's (`holder`) or gone (null). */
  'lock.lost': { holder: string | null };
  /** `handovers`: how often the lock changed hands while we waited. */
  'wait.timeout': HolderSummary & { queueLength: number; waitedMs: number; polls: number; handovers: number };
  /** The work of our run key is done (`succeeded`), or has failed just now, by the run `by`: nothing was run here. */
  'run.skipped': {
    runKey: string;
    succeeded: boolean;
    exitCode: number;
    by: string;
    byHost: string | null;
    /** Its command line, redacted; `sameCommand`: as ours. */
    byCommand: string | null;
    sameCommand: boolean;
    finishedAt: string;
    ranMs: number;
  };
  /** The guard that watches over the child had died; another one has taken its place. */
  'guard.restarted': { restarts: number };
  /** There is no guard: if migrate-lock itself is killed, its child lives on until the lease is over. */
  'guard.absent': { reason: string };
  /** `hint`: what a person can do next. */
  error: { code: string; message: string; hint?: string };
  'run.finished': { outcome: Outcome; exitCode: number; durationMs: number };
}

export type EventName = keyof EventFields;

const ALL_EVENTS: Record<EventName, true> = {
  'schema.applied': true,
  'database.unavailable': true,
  'lock.waiting': true,
  'lock.rate_limited': true,
  'lock.acquired': true,
  'lock.orphans': true,
  'lock.inherited': true,
  'lock.takeover': true,
  'child.started': true,
  'child.exited': true,
  'lease.expiring': true,
  'lease.extended': true,
  'child.deadline': true,
  'child.leftover': true,
  'lock.released': true,
  'lock.release_failed': true,
  'lock.lost': true,
  'wait.timeout': true,
  'run.skipped': true,
  'guard.restarted': true,
  'guard.absent': true,
  error: true,
  'run.finished': true,
};
/** The names of all events, for those who need them at run time. */
export const EVENT_NAMES = Object.keys(ALL_EVENTS) as EventName[];

/** What an event is about: the same in every event of a run, but for the token, known once the lock was acquired. */
export interface EventContext {
  instanceId: string;
  fencingToken?: number;
  host: string;
  pid: number;
  /** The database's name; null while it is not known. */
  database: string | null;
  /** The lock's database schema. */
  schema: string;
}

export type EventOf<N extends EventName> = { [K in N]: { event: K } & EventFields[K] }[N];
/** What happened, without the common fields. */
export type Occurrence = EventOf<EventName>;
/** One audit event: version, time, what happened, and the common fields. */
export type MigrateLockEvent = { v: typeof EVENT_VERSION; time: string } & EventContext & Occurrence;
export type EventListener = (event: MigrateLockEvent) => void;
