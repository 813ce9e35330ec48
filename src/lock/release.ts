import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../db/backoff.js';
import { errorCode, mayPass } from '../db/classify.js';
import { explain } from '../db/explain.js';
import { MigrateLockError } from '../errors.js';
import type { EventBody } from '../events/events.js';
import { unlockLine } from '../text/unlock-line.js';
import type { Orphans, ReleaseAnswer } from './answers.js';
import { CALL_LIMIT_MS, type EndDetails, type LockCalls, type WorkResult } from './calls.js';
import type { Identity, Lease } from './lease.js';
import { nameSessions } from './name-sessions.js';
import { orAborted } from './or-aborted.js';
import { orphanPauseMs } from './until-sessions-end.js';

export interface ReleaseLeaseOptions {
  by?: 'holder' | 'guard';
  /** How the command ended. */
  end: EndDetails;
  /** How the work of the run key ended; null: nothing is stored for it. */
  work?: WorkResult | null;
  /** Ends the tries: the lease then runs out by itself. */
  signal?: AbortSignal;
  emit: (event: EventBody) => void;
}

/** `lost`: before the lease's end it was somebody else's or gone. `expired`: it had run out, and was taken since. */
export type ReleaseOutcome = 'released' | 'lost' | 'expired' | 'failed';

/** A release is tried for what is left of the lease, but never longer than this. */
const LONGEST_MS = 30_000;
/** A release that comes late is still tried once, for this long. */
const SHORTEST_MS = 2_000;
/** How long a try that is under way may still take once the tries are to end. */
const LAST_TRY_MS = 2_000;
/** Sessions that were told to end are gone within milliseconds: one that takes longer than this is reported. */
const ORPHANS_REPORTED_AFTER_MS = 1_000;

/** Releases the lease, and tries again while the database cannot be reached. Never throws: the lease ends by itself. */
export async function releaseLease(
  calls: LockCalls,
  me: Identity,
  lease: Lease,
  options: ReleaseLeaseOptions,
): Promise<ReleaseOutcome> {
  const abandoned = new AbortController();
  const abandonSoon = (): void => {
    setTimeout(() => abandoned.abort(options.signal?.reason), LAST_TRY_MS).unref();
  };
  options.signal?.addEventListener('abort', abandonSoon, { once: true });
  if (options.signal?.aborted === true) abandonSoon();
  try {
    return await tryToRelease(calls, me, lease, options, abandoned.signal);
  } finally {
    options.signal?.removeEventListener('abort', abandonSoon);
  }
}

async function tryToRelease(
  calls: LockCalls,
  me: Identity,
  lease: Lease,
  options: ReleaseLeaseOptions,
  abandoned: AbortSignal,
): Promise<ReleaseOutcome> {
  const startedAtMs = performance.now();
  const endsAtMs = startedAtMs + Math.max(SHORTEST_MS, Math.min(LONGEST_MS, lease.endsAtMs - startedAtMs));
  let orphans: Orphans | null = null;
  let isReported = false;
  for (let attempt = 1; ; attempt++) {
    const limitMs = Math.max(1, Math.min(CALL_LIMIT_MS, endsAtMs - performance.now()));
    let failure: unknown;
    let pauseMs: number;
    try {
      const { by = 'holder', end, work = null } = options;
      const releasing = calls.release(me, { by, end, work, orphans, limitMs });
      const answer = await orAborted(releasing, abandoned);
      if (answer.outcome !== 'orphans') return report(answer, lease, options.emit);
      orphans = answer;
      failure = new OrphansLeft(answer, me.instanceId, calls.endsOrphans);
      pauseMs = orphanPauseMs(attempt);
    } catch (error) {
      if (!mayPass(error)) return fail(error, calls, lease, options.emit);
      failure = error;
      pauseMs = backoffMs(attempt);
    }
    if (performance.now() + pauseMs >= endsAtMs || options.signal?.aborted === true) {
      return fail(failure, calls, lease, options.emit);
    }
    const isDue =
      !(failure instanceof OrphansLeft) || performance.now() > startedAtMs + ORPHANS_REPORTED_AFTER_MS;
    if (!isReported && isDue) {
      isReported = true;
      options.emit({ event: 'lock.release_delayed', ...reasonOf(failure, calls, lease) });
    }
    await sleep(pauseMs, undefined, { signal: options.signal }).catch(() => undefined);
  }
}

/** Sessions of the child are still open: the lease is kept, and runs out. */
class OrphansLeft extends MigrateLockError {
  constructor({ sessions, denied }: Orphans, instanceId: string, toldToEnd: boolean) {
    super(`database sessions of the command have not ended: ${nameSessions(sessions)}`, {
      code: 'ORPHANS_LEFT',
      exit: 'internal',
      hint:
        denied > 0
          ? `Our role may not end them: that needs the same role, or pg_signal_backend. When nobody can: \`${unlockLine(instanceId)}\`.`
          : toldToEnd
            ? 'The database has been told to end them.'
            : 'They are left to end by themselves: behind a pooler they may be those of others.',
    });
  }
}

function report(
  answer: Exclude<ReleaseAnswer, { outcome: 'orphans' }>,
  lease: Lease,
  emit: ReleaseLeaseOptions['emit'],
): ReleaseOutcome {
  switch (answer.outcome) {
    case 'released':
      emit({ event: 'lock.released', heldMs: Math.max(0, answer.heldMs), auditHash: answer.auditHash });
      return 'released';
    case 'already_released':
      // The answer to an earlier try was lost.
      emit({
        event: 'lock.released',
        heldMs: Math.max(0, Date.now() - lease.lockedAt.getTime()),
        auditHash: answer.auditHash,
      });
      return 'released';
    case 'lost':
      if (performance.now() >= lease.endsAtMs) {
        emit({
          event: 'lock.release_failed',
          code: 'LEASE_EXPIRED',
          message:
            answer.holder === null
              ? 'the lease had run out, and was ended by somebody else since'
              : 'the lease had run out, and the lock was acquired by somebody else since',
          expiresAt: lease.expiresAt.toISOString(),
        });
        return 'expired';
      }
      emit({ event: 'lock.lost', holder: answer.holder });
      return 'lost';
    case 'refused':
      emit({ event: 'lock.lost', holder: lease.instanceId });
      return 'lost';
  }
}

function fail(
  error: unknown,
  calls: LockCalls,
  lease: Lease,
  emit: ReleaseLeaseOptions['emit'],
): ReleaseOutcome {
  emit({ event: 'lock.release_failed', ...reasonOf(error, calls, lease) });
  return 'failed';
}

function reasonOf(
  error: unknown,
  { database, schema }: LockCalls,
  lease: Lease,
): { code: string; message: string; expiresAt: string } {
  return {
    code: errorCode(error),
    message: explain(error, database.description, schema).message,
    expiresAt: lease.expiresAt.toISOString(),
  };
}
