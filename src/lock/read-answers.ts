import {
  byOutcome,
  integer,
  InvalidAnswer,
  list,
  object,
  oneOf,
  optional,
  orNull,
  pattern,
  text,
  truth,
  type Shape,
} from '../db/shape.js';
import type {
  Acquired,
  ChainEnds,
  ChainPage,
  ChainRow,
  CleanupAnswer,
  Held,
  HistoryRow,
  LockStatus,
  RunKeyState,
  Orphans,
  OrphanSession,
  PruneAnswer,
  ReleaseAnswer,
  RunDescription,
  SettleAnswer,
  Settled,
  Takeover,
  UncleanEnd,
  UnlockAnswer,
  WatchAnswer,
} from './answers.js';
import type { HolderDescription } from './lease.js';

/** A PostgreSQL timestamp in milliseconds since 1970, or a difference of two. Some are outside the range of a Date. */
const moment = integer(-1e16, 1e16);
const count = integer(0, 1e9);
const token = integer(1, Number.MAX_SAFE_INTEGER);
const rowNumber = integer(0, Number.MAX_SAFE_INTEGER);
const int32 = integer(-(2 ** 31), 2 ** 31 - 1);
const auditHash = orNull(pattern(/^[0-9a-f]{64}$/));
const chainHash = pattern(/^(?:[0-9a-f]{64})?$/);
const line = text();
const lineOrNull = orNull(text());

const holder = object<HolderDescription>({
  instanceId: line,
  fencingToken: token,
  host: lineOrNull,
  pid: orNull(int32),
  dbRole: line,
  command: lineOrNull,
  runKey: lineOrNull,
  lockedAtMs: moment,
  expiresAtMs: moment,
  heldMs: moment,
  expiresInMs: moment,
  releasedAtMs: orNull(moment),
});

const orphanFields = {
  sessions: list(
    object<OrphanSession>({
      pid: int32,
      role: lineOrNull,
      client: lineOrNull,
      state: lineOrNull,
      since: lineOrNull,
      openMs: orNull(moment),
    }),
  ),
  denied: count,
};
const orphans = object<Orphans>(orphanFields);
type OrphansAnswer = { outcome: 'orphans' } & Orphans;
const orphansAnswer = object<OrphansAnswer>({ outcome: oneOf('orphans'), ...orphanFields });

const run = object<RunDescription>({
  succeeded: truth,
  exitCode: int32,
  instanceId: line,
  host: lineOrNull,
  command: lineOrNull,
  finishedAtMs: moment,
  durationMs: moment,
});

const takeover = object<Takeover>({
  previousInstanceId: line,
  expiredMs: moment,
  sessionsEnded: count,
  auditHash,
});

const uncleanEnd = object<UncleanEnd>({
  kind: oneOf('signalled', 'deadline', 'killed', 'expired', 'unlocked', 'leftovers'),
  instanceId: line,
  command: lineOrNull,
  lockedAtMs: moment,
  endedAtMs: moment,
});

/** The rate limit answers with a second or two. A much longer time is not a valid answer. */
const LONGEST_RETRY_MS = 3_600_000;

/** The answer to an attempt, with the lease as the database describes it. */
export type RawAttempt = (Omit<Acquired, 'lease'> & { lease: HolderDescription }) | Held | Settled;

export const attemptShape = byOutcome<RawAttempt>({
  acquired: object({
    outcome: oneOf('acquired'),
    lease: holder,
    takeover: orNull(takeover),
    auditHash,
    connectionsLeft: optional(orNull(integer(-1e6, 1e6)), null),
    otherCommand: optional(lineOrNull, null),
    previousEnd: orNull(uncleanEnd),
  }),
  held: object<Held>({
    outcome: oneOf('held'),
    holder: orNull(holder),
    queueLength: count,
    orphans: optional(orNull(orphans), null),
    listens: optional(truth, false),
    listening: optional(count, 0),
    connectionsLeft: optional(orNull(integer(-1e6, 1e6)), null),
    retryAfterMs: optional(orNull(integer(1, LONGEST_RETRY_MS)), null),
  }),
  settled: object<Settled>({ outcome: oneOf('settled'), run }),
});

/** Whether poll() found a schema that is too old or too new, and changed nothing. */
export function isAboutSchema(answer: unknown): boolean {
  return object({ outcome: text() })(answer, 'poll()').outcome === 'schema';
}

export const runKeyShape = object<RunKeyState>({ run: orNull(run), isHeld: truth, mayBeUnfinished: truth });

export const watchShape = object<WatchAnswer>({
  done: truth,
  success: orNull(run),
  failure: orNull(run),
  failedAgoMs: orNull(moment),
  uncleanEnd: orNull(uncleanEnd),
  isAwaited: truth,
  holder: orNull(holder),
  watchers: orNull(count),
});

const released = object<Extract<ReleaseAnswer, { outcome: 'released' }>>({
  outcome: oneOf('released'),
  heldMs: moment,
  late: truth,
  auditHash,
});
const releaseKinds = {
  released,
  already_released: object<Extract<ReleaseAnswer, { outcome: 'already_released' }>>({
    outcome: oneOf('already_released'),
    auditHash,
  }),
  lost: object<Extract<ReleaseAnswer, { outcome: 'lost' }>>({ outcome: oneOf('lost'), holder: lineOrNull }),
  refused: object<Extract<ReleaseAnswer, { outcome: 'refused' }>>({ outcome: oneOf('refused') }),
  orphans: orphansAnswer,
};
export const releaseShape = byOutcome<ReleaseAnswer>(releaseKinds);
export const leaveShape = byOutcome<ReleaseAnswer | { outcome: 'left' }>({
  ...releaseKinds,
  left: object<{ outcome: 'left' }>({ outcome: oneOf('left') }),
});

export const settleShape = byOutcome<SettleAnswer>({
  settled: object<{ outcome: 'settled' }>({ outcome: oneOf('settled') }),
  refused: object<{ outcome: 'refused' }>({ outcome: oneOf('refused') }),
  orphans: orphansAnswer,
});

export type RawExtension =
  { outcome: 'extended'; lease: HolderDescription; auditHash: string | null } | { outcome: 'refused' };
export const extendShape = byOutcome<RawExtension>({
  extended: object({ outcome: oneOf('extended'), lease: holder, auditHash }),
  refused: object({ outcome: oneOf('refused') }),
});

const waiter = object<LockStatus['waiters'][number]>({
  instanceId: line,
  host: lineOrNull,
  pid: orNull(int32),
  dbRole: line,
  command: lineOrNull,
  runKey: lineOrNull,
  waitingMs: moment,
});
export const statusShape = object<LockStatus & { isReplica: boolean }>({
  state: oneOf('free', 'held', 'expired'),
  lease: orNull(holder),
  waiters: list(waiter),
  watchers: orNull(count),
  uncleanEnds: list(uncleanEnd),
  isReplica: optional(truth, false),
});

/** Any JSON value. */
const details: Shape<Record<string, unknown>> = (value) => value as Record<string, unknown>;

export const historyShape = list(
  object<HistoryRow>({
    id: rowNumber,
    atMs: moment,
    event: line,
    instanceId: lineOrNull,
    fencingToken: orNull(integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
    dbRole: line,
    clientAddress: lineOrNull,
    applicationName: lineOrNull,
    details,
    auditHash,
  }),
);

const chainRow = object<ChainRow>({
  id: rowNumber,
  seq: orNull(rowNumber),
  event: line,
  details: (value) => (value instanceof Object ? (value as Record<string, unknown>) : {}),
  hash: auditHash,
  text: text(Number.MAX_SAFE_INTEGER),
});
const chainPage = object<ChainPage>({
  ends: orNull(
    object<ChainEnds>({
      headSeq: rowNumber,
      headHash: chainHash,
      tailSeq: rowNumber,
      tailHash: chainHash,
    }),
  ),
  rows: list(chainRow),
});

/** The rows after `afterId`, in ascending order, so that reading page by page terminates. */
export function chainShape(afterId: number, limit: number): Shape<ChainPage> {
  return (value, path) => {
    const page = chainPage(value, path);
    const ids = [afterId, ...page.rows.map(({ id }) => id)];
    if (page.rows.length > limit || ids.some((id, index) => index > 0 && id <= (ids[index - 1] ?? 0))) {
      throw new InvalidAnswer(`${path}.rows`, 'the next rows in order');
    }
    return page;
  };
}

export const unlockShape = byOutcome<UnlockAnswer>({
  free: object({ outcome: oneOf('free') }),
  refused: object({ outcome: oneOf('refused'), reason: oneOf('holder', 'live'), holder }),
  orphans: orphansAnswer,
  released: object({
    outcome: oneOf('released'),
    heldMs: moment,
    sessionsEnded: count,
    sessionsLeft: list(int32),
  }),
});

export const cleanupShape = object<CleanupAnswer>({
  leases: count,
  waiters: count,
  orphans: orNull(orphans),
});

export const pruneShape = object<PruneAnswer>({ runs: rowNumber, rows: rowNumber, more: truth });
