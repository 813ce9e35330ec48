import type { Call } from '../db/database.js';
import { SCHEMA_VERSION } from '../schema/look.js';
import type { Attempt, Orphans, Settled, Takeover } from './answers.js';
import type { ClientDescription, HolderDescription, Identity, Lease } from './lease.js';

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
    JSON.stringify({ host, pid, command }),
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

type RawAttempt =
  | {
      outcome: 'acquired';
      lease: HolderDescription;
      takeover: Takeover | null;
      auditHash: string | null;
      connectionsLeft?: number;
      otherCommand?: string | null;
    }
  | {
      outcome: 'held';
      holder: HolderDescription | null;
      queueLength: number;
      orphans?: Orphans;
      listens?: boolean;
      listening?: number;
      connectionsLeft?: number;
      retryAfterMs?: number;
    }
  | Settled;

/**
 * The holder counts its lease from before the call was sent: the database started it later, so ours ends earlier.
 * That also holds when the answer only recognizes a lease that an earlier, unanswered call had acquired.
 */
export function readAttempt(answer: unknown, sentAtMs: number): Attempt {
  const attempt = answer as RawAttempt;
  switch (attempt.outcome) {
    case 'settled':
      return { outcome: 'settled', run: attempt.run };
    case 'held': {
      const { holder, queueLength, orphans = null, listens = false, listening = 0 } = attempt;
      const { retryAfterMs = null, connectionsLeft = null } = attempt;
      return { outcome: 'held', holder, queueLength, orphans, listens, listening, connectionsLeft, retryAfterMs };
    }
    case 'acquired':
      return {
        outcome: 'acquired',
        takeover: attempt.takeover,
        auditHash: attempt.auditHash,
        connectionsLeft: attempt.connectionsLeft ?? null,
        otherCommand: attempt.otherCommand ?? null,
        lease: readLease(attempt.lease, sentAtMs),
      };
  }
}

export function readLease(lease: HolderDescription, sentAtMs: number): Lease {
  return {
    instanceId: lease.instanceId,
    fencingToken: lease.fencingToken,
    lockedAt: new Date(lease.lockedAtMs),
    expiresAt: new Date(lease.expiresAtMs),
    endsAtMs: sentAtMs + lease.expiresInMs,
  };
}
