import type { EndDetails, WorkResult } from '../../../src/lock/calls.js';

/** The requests to the model and the real functions, and their answers. */
export interface Caller {
  instanceId: string;
  secret: string;
}

/** What a client reports about itself. */
export interface ModelClient {
  host: string;
  pid: number;
  command: string;
  commandSha256: string;
  runKey: string | null;
}

export interface PollRequest {
  ttlMs: number;
  client: ModelClient;
  respect: number | null;
  pollIntervalMs: number;
  isLast: boolean;
  failureMemoryMs: number | null;
}

export interface LookRequest {
  client: ModelClient;
  failureMemoryMs: number | null;
}

export interface WatchRequest {
  runKey: string;
  watcher: string;
  isLast: boolean;
}

export interface ReleaseRequest {
  by: 'holder' | 'guard';
  end: EndDetails;
  work: WorkResult | null;
}

/** The function's answer, or `{ error: SQLSTATE }` when it refuses. The empty text is SQL's void. */
export type Answer = Record<string, unknown> | '';

export interface AuditRow {
  event: string;
  /** null: the row is about an attempt that proved nothing about any instance. */
  instanceId: string | null;
  token: number | null;
  dbRole: string;
  isChained: boolean;
  details: Record<string, unknown>;
}

/** The content of the tables after a call; times are microseconds from the model's zero. */
export interface Tables {
  leases: {
    instanceId: string;
    token: number;
    secretSha256: string;
    dbRole: string;
    lockedAt: number;
    expiresAt: number;
    releasedAt: number | null;
    releasedBy: string | null;
  }[];
  waiters: Record<string, { arrivedAt: number; countsUntil: number; secretSha256: string; dbRole: string }>;
  /** By run key and command. */
  runs: Record<string, { succeeded: boolean; instanceId: string; finishedAt: number }>;
  /** The unclean ends, by command. */
  ends: Record<
    string,
    { kind: string; instanceId: string; runKey: string | null; lockedAt: number; endedAt: number }
  >;
  /** By name: until when it counts. */
  watchers: Record<string, number>;
  /** Since the run began. */
  audit: AuditRow[];
}

export function isOutcome(answer: Answer, outcome: string): answer is Record<string, unknown> {
  return answer !== '' && 'outcome' in answer && answer.outcome === outcome;
}
