import type { SessionActivity } from './session-activity.js';
import type { BlockingFields, RetriesEndedFields, RetryFields } from './try-fields.js';

export type { BlockerSummary, SessionActivity } from './session-activity.js';

/**
 * The list of all events. Both readers of the event stream (the JSON lines on stdout and the
 * lines on stderr) use exactly this union; a test compares src/events/event.schema.json with it.
 * All durations are in milliseconds, all times ISO 8601 in UTC, ending in `Z`.
 */
export const EVENT_VERSION = 1;

export const OUTCOMES = [
  'completed',
  'skipped',
  'conflict',
  'deadline',
  'unrecovered',
  'lost',
  'interrupted',
  'error',
] as const;
/**
 * How a run ended. `completed`: the child ended by itself, whatever its exit code. `skipped`: there was nothing to do.
 * `unrecovered`: its recovery failed, so the command was not started.
 */
export type Outcome = (typeof OUTCOMES)[number];

/** The holder at the last poll. */
export interface HolderSummary {
  /** The holder's instance id; null when it was unknown (another transaction was changing the row). */
  holder: string | null;
  holderHost: string | null;
  /** The holder's command line, redacted. */
  holderCommand: string | null;
  /** For how long the holder has had its lease. */
  heldMs: number | null;
  /** What is left of the holder's lease on the database's clock. */
  expiresInMs: number | null;
}

/** A process, with the values to find it. */
export interface ProcessSummary {
  pid: number;
  /** The name of the process's user, or the uid. */
  user: string;
  /** The program's name. */
  command: string;
}

/** The events that have a chained row in the history. */
export interface Audited {
  /**
   * The row's SHA-256 in hexadecimal, which covers all chained rows before it: kept outside of the database, it shows
   * whether the history was rewritten. null: the history has lost its chain.
   */
  auditHash: string | null;
}

/** A database session that keeps an expired lease from being taken over. */
export interface SessionSummary {
  pid: number;
  role: string | null;
  /** The client's address; null: hidden from us, or a Unix socket. */
  client: string | null;
  /** For how long its transaction is open; null: none, or hidden from us. */
  openMs: number | null;
}

/** How the last lease of a command ended, if not by the command's own end. */
export interface UncleanEndSummary {
  kind: 'signalled' | 'deadline' | 'killed' | 'expired' | 'unlocked' | 'leftovers';
  instanceId: string;
  command: string | null;
  endedAt: string;
}

/** An INVALID index, with the statements that drop it or build it again; null: that is not possible. */
export interface InvalidIndexSummary {
  schema: string;
  table: string;
  name: string;
  drop: string | null;
  reindex: string | null;
}

/** A prepared transaction, with the statements that end it. */
export interface PreparedSummary {
  gid: string;
  role: string;
  preparedAt: string;
  commit: string;
  rollback: string;
}

/** A table in which a migration tool says that it still runs. */
export interface ToolLockSummary {
  tool: 'knex' | 'liquibase' | 'prisma';
  schema: string;
  table: string;
  /** What can be given as --recover. */
  recover: string;
}

/** How `wait` ended. `failed`: a run of the key failed (`--on-failure fail`). */
export type WaitOutcome = 'succeeded' | 'failed' | 'timeout' | 'interrupted' | 'error';

/** A run of the work of a run key. */
export interface RunSummary {
  instanceId: string;
  host: string | null;
  /** Its command line, redacted. */
  command: string | null;
  exitCode: number;
  finishedAt: string;
}

export interface EventFields {
  /** The lock schema was created (fromVersion null) or upgraded. */
  'schema.applied': { fromVersion: number | null; toVersion: number };
  /** The database cannot be reached or has no connection left; it is tried again. */
  'database.unavailable': { code: string; message: string; attempts: number };
  'lock.waiting': HolderSummary & { queueLength: number; waitedMs: number };
  /** This client made too many attempts: this one was refused, and the next is allowed after `retryAfterMs`. */
  'lock.rate_limited': { retryAfterMs: number };
  /**
   * `previousEnd`: the unclean end of the last lease of this command, null where that was clean or unknown.
   * `runKeyOfOtherCommand`: the run key is also known with this other command, which counts as different work.
   */
  'lock.acquired': {
    waitedMs: number;
    polls: number;
    ttlMs: number;
    expiresAt: string;
    previousEnd: UncleanEndSummary | null;
    runKeyOfOtherCommand?: string;
  } & Audited;
  /** `waiting` client sessions wait for a session of the command, the longest for `waitedMs`. */
  'database.blocking': BlockingFields;
  /** The lease has expired, but database sessions of it are still open; `denied` of them our role may not end. */
  'lock.orphans': { holder: string; sessions: SessionSummary[]; denied: number };
  /**
   * This command had an unclean end, and the database has what a migration that was cut off can leave, from whichever run: INVALID
   * indexes that no session is building, and prepared transactions of our role; null: there are none. migrate-lock changes none of them.
   */
  'database.leftovers': {
    indexes: InvalidIndexSummary[] | null;
    preparedTransactions: PreparedSummary[] | null;
  };
  /**
   * The command failed after an unclean end, and a migration tool's own lock, or its unfinished migration, is in the database.
   */
  'tool.locked': { locks: ToolLockSummary[] };
  /** This run is inside the command of another run, which holds the lock: it runs under that lease, and its deadline. */
  'lock.inherited': { holder: string; expiresAt: string };
  /** The acquired lease had expired without a release. */
  'lock.takeover': { previousInstanceId: string; expiredMs: number; sessionsEnded: number } & Audited;
  /** The child gets SIGTERM after `deadlineMs`. */
  'child.started': { childPid: number; command: string; deadlineMs: number };
  /** The child's processes cannot be seen (no /proc, or that of another PID namespace): only its process group can be ended. */
  'child.unseen': object;
  /** Exactly one of `exitCode` and `signal` is not null. */
  'child.exited': { exitCode: number | null; signal: string | null; durationMs: number };
  /** The command is started again after `delayMs`. `isCutOff`: a session of it was cancelled or ended. */
  'child.retry': RetryFields;
  /** The command has failed and is not started again, although retries are left. */
  'child.retries_ended': RetriesEndedFields;
  /**
   * Most of the lease is used, and the child still runs; it gets SIGTERM after `deadlineMs`. `canExtend`: it can extend the lease.
   * `sessions`: what its database sessions are doing, at most 20, first those that wait; absent: not known.
   */
  'lease.expiring': {
    expiresInMs: number;
    deadlineMs: number;
    canExtend: boolean;
    sessions?: SessionActivity[];
  };
  /** The child, or the library's user, extended the lease. */
  'lease.extended': { ttlMs: number; expiresAt: string } & Audited;
  /**
   * Processes of the command cannot be ended, so the lease was extended: no other run may start beside them.
   * `processes`: null when they are hidden. `last`: it is not extended again.
   */
  'lease.kept': {
    processes: ProcessSummary[] | null;
    ttlMs: number;
    expiresAt: string;
    last: boolean;
  } & Audited;
  /**
   * The child reached its deadline and is being ended. `ttlMs`: the whole lease, with its extensions. `expiresInMs`: what is left of
   * its lease; 0: it has expired. `sessions`: what its database sessions did in the last second; absent: not known.
   */
  'child.deadline': {
    ttlMs: number;
    ranMs: number;
    expiresInMs: number;
    /** What recovers at the next run of this command: `command` is its --recover, others are tools; null: nothing does. */
    recovery: string | null;
    sessions?: SessionActivity[];
  };
  /** Processes that the child left running when it ended; they are being ended. */
  'child.leftover': { count: number };
  'lock.released': { heldMs: number } & Audited;
  /** The lease could not be released yet; it is tried again. */
  'lock.release_delayed': { code: string; message: string; expiresAt: string };
  /** The lease could not be released; it ends by itself at `expiresAt`. */
  'lock.release_failed': { code: string; message: string; expiresAt: string };
  /** Before its end, the lease was found to be another instance's (`holder`) or removed (null). */
  'lock.lost': { holder: string | null };
  /**
   * `handovers`: how often the lock changed hands while we waited. `sessions`: what the holder's database sessions are doing; absent:
   * not known.
   */
  'wait.timeout': HolderSummary & {
    queueLength: number;
    waitedMs: number;
    polls: number;
    handovers: number;
    sessions?: SessionActivity[];
  };
  /** `wait` reads the run key until its work is done, for `waitTimeoutMs` at most. It takes no lock. */
  'wait.started': { runKey: string; waitTimeoutMs: number };
  /**
   * The end of `wait`. `run`: the run of the key that succeeded, or the last one that failed. At a timeout, `uncleanEnd`: of a
   * command of the key; `isAwaited`: a run waits or runs under the key; and the holder of the lock, whatever it runs.
   */
  'wait.finished': HolderSummary & {
    runKey: string;
    outcome: WaitOutcome;
    exitCode: number;
    run: RunSummary | null;
    uncleanEnd: UncleanEndSummary | null;
    isAwaited: boolean;
    waitedMs: number;
    looks: number;
  };
  /**
   * The command was not run. `once`: the work of the run key is done (`succeeded`), or has just failed, in the run `by`.
   * `check`: the check found nothing pending. The fields of the other run are then null.
   */
  'run.skipped': {
    reason: 'once' | 'check';
    runKey: string | null;
    succeeded: boolean;
    exitCode: number;
    by: string | null;
    byHost: string | null;
    /** Its command line, redacted. */
    byCommand: string | null;
    finishedAt: string | null;
    ranMs: number | null;
  };
  /** A program is run first, because the last lease of the command had an unclean end. */
  'recover.started': { childPid: number; command: string; deadlineMs: number };
  /** With another exit code than 0, the command is not started. */
  'recover.exited': { exitCode: number | null; signal: string | null; durationMs: number };
  /** The lock of the migration tool itself may be taken, and was not released; the command is started. */
  'recover.skipped': { tool: string; recovery: string; reason: string };
  /** The check is run: before the wait for the lock, and again under the lease. */
  'check.started': { childPid: number; command: string; deadlineMs: number };
  /** With exit code 0, nothing is pending. */
  'check.exited': { exitCode: number | null; signal: string | null; durationMs: number };
  /** The work of our run key succeeded here, but that could not be stored: the next run with this key may do it again. */
  'run.not_stored': { runKey: string };
  /** The guard of the child had exited; another one was started. */
  'guard.restarted': { restarts: number };
  /** There is no guard: if migrate-lock itself is killed, its child is not ended, not even when the lease expires. */
  'guard.absent': { reason: string };
  /** There is no place for the socket with which the command extends its lease, and runs inside it find the lease. */
  'socket.absent': { reason: string };
  /** `hint`: what a person can do next. */
  error: { code: string; message: string; hint?: string };
  'run.finished': { outcome: Outcome; exitCode: number; durationMs: number };
}

/** The name of an event. */
export type EventName = keyof EventFields;

const ALL_EVENTS: Record<EventName, true> = {
  'schema.applied': true,
  'database.unavailable': true,
  'lock.waiting': true,
  'lock.rate_limited': true,
  'lock.acquired': true,
  'lock.orphans': true,
  'database.blocking': true,
  'database.leftovers': true,
  'tool.locked': true,
  'lock.inherited': true,
  'lock.takeover': true,
  'child.started': true,
  'child.unseen': true,
  'child.exited': true,
  'child.retry': true,
  'child.retries_ended': true,
  'lease.expiring': true,
  'lease.extended': true,
  'lease.kept': true,
  'child.deadline': true,
  'child.leftover': true,
  'lock.released': true,
  'lock.release_delayed': true,
  'lock.release_failed': true,
  'lock.lost': true,
  'wait.timeout': true,
  'wait.started': true,
  'wait.finished': true,
  'run.skipped': true,
  'recover.started': true,
  'recover.exited': true,
  'recover.skipped': true,
  'check.started': true,
  'check.exited': true,
  'run.not_stored': true,
  'guard.restarted': true,
  'guard.absent': true,
  'socket.absent': true,
  error: true,
  'run.finished': true,
};
/** The names of all events, for use at run time. */
export const EVENT_NAMES = Object.keys(ALL_EVENTS) as EventName[];

/** The context of an event: the same in every event of a run, but for the token, known once the lock was acquired. */
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
/** An event without the common fields. */
export type EventBody = EventOf<EventName>;
/** One event: version, time, its own fields, and the common fields. */
export type MigrateLockEvent = { v: typeof EVENT_VERSION; time: string } & EventContext & EventBody;
/** Called with every event. */
export type EventListener = (event: MigrateLockEvent) => void;
