import type { Call } from '../db/database.js';
import { InvalidAnswer } from '../db/shape.js';
import { dateOf } from '../text/moment.js';
import { SCHEMA_VERSION } from '../schema/schema-version.js';
import type { Attempt, Orphans } from './answers.js';
import type { ClientDescription, HolderDescription, Identity, Lease } from './lease.js';
import { attemptShape } from './read-answers.js';

/** What is done about orphans; see settle_orphans() in sql/functions/sessions.sql. */
export type OrphanMode = 'auto' | 'terminate' | 'wait' | 'ignore';

export interface PollOptions {
  ttlMs: number;
  pollIntervalMs: number;
  isLast: boolean;
  limitMs: number;
  /** The fencing token of a lease that has not ended by our own clock. */
  respect: number | null;
  /** The sessions that the last poll found. */
  orphans: Orphans | null;
  /** How long a failure of the run key's work counts; null: the work is tried again. */
  failureMemoryMs?: number | null;
  /** Requests to be one of the few waiters that a release notifies. */
  listens?: boolean;
}

export interface Policy {
  orphans: Exclude<OrphanMode, 'auto'> | 'list';
  /** The sessions that the last call found, as JSON; null: there was no call before. */
  seen: string | null;
}

export function policyOf(orphans: Policy['orphans'], seen: Orphans | null): Policy {
  return { orphans, seen: seen === null ? null : JSON.stringify(seen.sessions) };
}

export function pollParameters(
  me: Identity,
  client: ClientDescription,
  { ttlMs, pollIntervalMs, isLast, respect, failureMemoryMs = null, listens = false }: PollOptions,
  { orphans, seen }: Policy,
): Call['parameters'] {
  const { host, pid, command, commandSha256, runKey } = client;
  return [
    SCHEMA_VERSION,
    me.instanceId,
    me.secret,
    ttlMs,
    host,
    pid,
    command,
    commandSha256,
    runKey,
    failureMemoryMs,
    respect,
    orphans,
    seen,
    pollIntervalMs,
    isLast,
    listens,
  ];
}

/** Who sent a call, and when. */
export interface Sent {
  me: Identity;
  ttlMs: number;
  sentAtMs: number;
}

/** @throws {InvalidAnswer} */
export function readAttempt(answer: unknown, sent: Sent): Attempt {
  const attempt = attemptShape(answer, 'the answer to an attempt');
  if (attempt.outcome !== 'acquired') return attempt;
  return { ...attempt, lease: readLease(attempt.lease, sent) };
}

/**
 * The lease is counted from before the call was sent, so that it ends earlier here than in the database. That also holds when
 * an earlier, unanswered call had acquired it. It is never longer than requested.
 * @throws {InvalidAnswer} when it is another instance's.
 */
export function readLease(lease: HolderDescription, { me, ttlMs, sentAtMs }: Sent): Lease {
  if (lease.instanceId !== me.instanceId) throw new InvalidAnswer('lease.instanceId', 'ours');
  return {
    instanceId: lease.instanceId,
    fencingToken: lease.fencingToken,
    dbRole: lease.dbRole,
    lockedAt: dateOf(lease.lockedAtMs),
    expiresAt: dateOf(lease.expiresAtMs),
    endsAtMs: sentAtMs + Math.min(lease.expiresInMs, ttlMs),
  };
}
