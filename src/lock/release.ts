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
  /** The result of the work of the run key; null: nothing is stored. */
  work?: WorkResult | null;
  /** Stops the retries. The lease then expires. */
  signal?: AbortSignal;
  emit: (event: EventBody) => void;
}

/**
 * `unclean`: released, but a session that was still busy had to be ended, so a success of the work is not stored.
 * `lost`: before its end, the lease was another instance's or removed. `expired`: it had expired and was taken over.
 */
export type ReleaseOutcome = 'released' | 'unclean' | 'lost' | 'expired' | 'failed';

/** A release is retried until the lease ends, but not longer than this. */
const LONGEST_MS = 30_000;
/** A late release is still tried once, for this long. */
const SHORTEST_MS = 2_000;
/** How long the last try may take after the retries were stopped. */
const LAST_TRY_MS = 2_000;
/** Terminated sessions end within milliseconds. One that takes longer than this is reported. */
const ORPHANS_REPORTED_AFTER_MS = 1_000;

/** Releases the lease, and retries while the database is unavailable. Never throws: a lease that is not released expires. */
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
  let { end, work = null } = options;
  for (let attempt = 1; ; attempt++) {
    const limitMs = Math.max(1, Math.min(CALL_LIMIT_MS, endsAtMs - performance.now()));
    let failure: unknown;
    let pauseMs: number;
    try {
      const { by = 'holder' } = options;
      const releasing = calls.release(me, { by, end, work, orphans, limitMs });
      const answer = await orAborted(releasing, abandoned);
      if (answer.outcome !== 'orphans') {
        const outcome = reportAnswer(answer, lease, options.emit);
        return outcome === 'released' && end !== options.end ? 'unclean' : outcome;
      }
      orphans = answer;
      // A session that is idle is about to close.
      const isLeft = calls.endsOrphans && answer.sessions.some(({ state }) => state !== 'idle');
      if (isLeft && end.kind === 'clean') {
        end = { ...end, kind: 'leftovers' };
        if (work?.succeeded === true) work = null;
      }
      failure = new OrphansLeft(answer, me.instanceId, calls.endsOrphans);
      pauseMs = orphanPauseMs(attempt);
    } catch (error) {
      if (!mayPass(error)) return reportReleaseFailure(error, calls, lease, options.emit);
      failure = error;
      pauseMs = backoffMs(attempt);
    }
    if (performance.now() + pauseMs >= endsAtMs || options.signal?.aborted === true) {
      return reportReleaseFailure(failure, calls, lease, options.emit);
    }
    const isDue =
      !(failure instanceof OrphansLeft) || performance.now() > startedAtMs + ORPHANS_REPORTED_AFTER_MS;
    if (!isReported && isDue) {
      isReported = true;
      options.emit({ event: 'lock.release_delayed', ...failureFields(failure, calls, lease) });
    }
    await sleep(pauseMs, undefined, { signal: options.signal }).catch(() => undefined);
  }
}

/** Sessions of the child are still open: the lease is kept, and expires. */
class OrphansLeft extends MigrateLockError {
  override readonly name = 'OrphansLeft';

  constructor({ sessions, denied }: Orphans, instanceId: string, terminated: boolean) {
    super(`database sessions of the command have not ended: ${nameSessions(sessions)}`, {
      code: 'ORPHANS_LEFT',
      exit: 'internal',
      hint:
        denied > 0
          ? `Our role may not end them: that needs the same role, or pg_signal_backend. If no role can: \`${unlockLine(instanceId)}\`.`
          : terminated
            ? 'migrate-lock has terminated them (pg_terminate_backend).'
            : 'They are not terminated: behind a pooler they may be sessions of other clients.',
    });
  }
}

function reportAnswer(
  answer: Exclude<ReleaseAnswer, { outcome: 'orphans' }>,
  lease: Lease,
  emit: ReleaseLeaseOptions['emit'],
): ReleaseOutcome {
  switch (answer.outcome) {
    case 'released':
      emit({ event: 'lock.released', heldMs: Math.max(0, answer.heldMs), auditHash: answer.auditHash });
      return 'released';
    case 'already_released':
      // An earlier try has released the lease, and its answer was lost.
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
              ? 'the lease had expired, and was ended by another client since'
              : 'the lease had expired, and the lock was acquired by another instance since',
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

function reportReleaseFailure(
  error: unknown,
  calls: LockCalls,
  lease: Lease,
  emit: ReleaseLeaseOptions['emit'],
): ReleaseOutcome {
  emit({ event: 'lock.release_failed', ...failureFields(error, calls, lease) });
  return 'failed';
}

function failureFields(
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
