import type { Call } from '../db/database.js';
import { InvalidAnswer } from '../db/shape.js';
import { dateOf } from '../text/moment.js';
import { SCHEMA_VERSION } from '../schema/look.js';
import type { Attempt, Orphans } from './answers.js';
import type { ClientDescription, HolderDescription, Identity, Lease } from './lease.js';
import { attemptShape } from './read-answers.js';

/** What happens to sessions of a lease whose holder no longer speaks for it; see settle_orphans() in sql/functions/sessions.sql. */
export type OrphanMode = 'auto' | 'terminate' | 'wait' | 'ignore';

export interface PollOptions {
  ttlMs: number;
  pollIntervalMs: number;
  isLast: boolean;
  limitMs: number;
  /** The fencing token of a lease that still runs by our own clock, whatever the database's says. */
  respect: number | null;
  /** What the last poll said is still in the way. */
  orphans: Orphans | null;
  /** For how long a failure of the run key's work counts; null: it does not, the work is tried again. */
  failureMemoryMs?: number | null;
  /** Would like to be one of the few that a release notifies. */
  listens?: boolean;
}

export interface Policy {
  orphans: Exclude<OrphanMode, 'auto'> | 'look';
  /** The sessions that the last call saw, as JSON; null: this is the first look. */
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

/** What the answer to a call is read with: whose call it was, and when it was sent. */
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
 * The holder counts its lease from before the call was sent: the database started it later, so ours ends earlier. That also holds
 * when the answer only recognizes a lease that an earlier, unanswered call had acquired. It is never longer than was asked for.
 * @throws {InvalidAnswer} when it is somebody else's.
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
