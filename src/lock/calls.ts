import { classify } from '../db/classify.js';
import type { Call, Database } from '../db/database.js';
import type { Shape } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';
import { SCHEMA_VERSION } from '../schema/look.js';
import { renderSql } from '../schema/render.js';
import type {
  Attempt,
  ChainPage,
  CleanupAnswer,
  ExtendAnswer,
  HistoryRow,
  LockStatus,
  Look,
  Orphans,
  ReleaseAnswer,
  UnlockAnswer,
} from './answers.js';
import type { ClientDescription, Identity } from './lease.js';
import {
  policyOf,
  pollParameters,
  readAttempt,
  readLease,
  type OrphanMode,
  type Policy,
  type PollOptions,
} from './poll-call.js';
import {
  chainShape,
  cleanupShape,
  extendShape,
  historyShape,
  isAboutSchema,
  leaveShape,
  lookShape,
  pruneShape,
  releaseShape,
  statusShape,
  unlockShape,
} from './read-answers.js';

/** How long one call may take before its connection counts as dead. */
export const CALL_LIMIT_MS = 5_000;

/** To forget years of history takes longer; it must stay below the session's statement_timeout. */
const PRUNE_LIMIT_MS = 14_000;

export interface UnlockOptions {
  /** Also while the lease runs. */
  force: boolean;
  /** Also when sessions of the lease are still at work. */
  leaveSessions?: boolean;
  /** What the last call said is still in the way. */
  orphans?: Orphans | null;
  limitMs?: number;
}

export interface ReleaseOptions {
  /** What is kept in the history about the use that was made of the lease. */
  details?: object;
  /** What the last call said is still in the way. */
  orphans?: Orphans | null;
  limitMs?: number;
}

/** The operations on one lock: one SQL function, one transaction each. Errors are the database's (see classify()). */
export class LockCalls {
  constructor(
    readonly database: Database,
    readonly schema: string,
    readonly orphanMode: OrphanMode = 'auto',
  ) {}

  /**
   * One attempt that also announces me as a waiter, and learns how many wait. The last one leaves the queue if it does
   * not acquire, and goes into the history as a timeout.
   */
  async poll(me: Identity, client: ClientDescription, options: PollOptions): Promise<Attempt> {
    const policy = this.#pollPolicy(options.orphans);
    const sentAtMs = performance.now();
    const parameters = pollParameters(me, client, options, policy);
    const answer = await this.#call('poll', 'poll the lock', parameters, options.limitMs);
    const attempt = readAttempt(answer, { me, ttlMs: options.ttlMs, sentAtMs });
    return this.#afterLook(me, client, options, policy, attempt);
  }

  /**
   * The first poll, which looks at the lock schema in the same round trip.
   * @returns null when the schema is not there, or has another version than this program needs: nothing was done.
   */
  async enter(me: Identity, client: ClientDescription, options: PollOptions): Promise<Attempt | null> {
    const policy = this.#pollPolicy(options.orphans);
    const sentAtMs = performance.now();
    const parameters = [SCHEMA_VERSION, ...pollParameters(me, client, options, policy)];
    try {
      const answer = await this.#call('enter', 'poll the lock', parameters, options.limitMs);
      if (isAboutSchema(answer)) return null;
      const attempt = readAttempt(answer, { me, ttlMs: options.ttlMs, sentAtMs });
      return await this.#afterLook(me, client, options, policy, attempt);
    } catch (error) {
      if (classify(error) === 'absent') return null;
      throw error;
    }
  }

  /** Whether the work of a run key is still to be done, and whether anybody has the lock: the cheapest of all calls. */
  look(runKey: string, failureMemoryMs: number | null, limitMs = CALL_LIMIT_MS): Promise<Look> {
    return this.#read(lookShape, 'look', 'look at the run key', [runKey, failureMemoryMs], limitMs);
  }

  /** Leaves the queue, when nothing can have been acquired. */
  async forget(me: Identity, limitMs = CALL_LIMIT_MS): Promise<void> {
    await this.#call('forget', 'leave the queue', [me.instanceId], limitMs);
  }

  /** Leaves the queue, and gives back what an attempt whose answer was not waited for may have brought. */
  leave(me: Identity, limitMs: number): Promise<ReleaseAnswer | { outcome: 'left' }> {
    return this.#read(leaveShape, 'leave', 'leave the queue', [me.instanceId, me.secret], limitMs);
  }

  async release(
    me: Identity,
    { details = {}, orphans = null, limitMs = CALL_LIMIT_MS }: ReleaseOptions = {},
  ): Promise<ReleaseAnswer> {
    const policy = JSON.stringify(await this.#policy(orphans, limitMs));
    const parameters = [me.instanceId, me.secret, policy, JSON.stringify(details)];
    return this.#read(releaseShape, 'release', 'release the lease', parameters, limitMs);
  }

  /**
   * Has the session do all that release() will do, on nothing: what PostgreSQL and we do for the first time takes three times as
   * long. To be called before there is a child: while it runs, nothing is sent. Nothing depends on it.
   */
  rehearseRelease(): void {
    if (!this.database.isDirect) return;
    const policy = JSON.stringify(this.#pollPolicy(null));
    this.#call('release', 'rehearse the release', [null, null, policy, '{}'], CALL_LIMIT_MS).catch(
      () => undefined,
    );
  }

  /** Refused when the lease is over, or not mine. The lease's new end counts from before the call was sent. */
  async extend(me: Identity, ttlMs: number, limitMs = CALL_LIMIT_MS): Promise<ExtendAnswer> {
    const sentAtMs = performance.now();
    const parameters = [me.instanceId, me.secret, ttlMs];
    const answer = await this.#read(extendShape, 'extend', 'extend the lease', parameters, limitMs);
    if (answer.outcome === 'refused') return answer;
    return { ...answer, lease: readLease(answer.lease, { me, ttlMs, sentAtMs }) };
  }

  /** @throws SQLSTATE 55000 when the lease is not held. */
  async assertHeld(instanceId: string, fencingToken: number, limitMs = CALL_LIMIT_MS): Promise<void> {
    await this.#call('assertHeld', 'assert the lease', [instanceId, fencingToken], limitMs);
  }

  status(limitMs = CALL_LIMIT_MS): Promise<LockStatus & { isReplica: boolean }> {
    return this.#read(statusShape, 'status', 'read the status', [], limitMs);
  }

  /** The newest rows of the history, oldest first. */
  history(limit: number, sinceMs: number | null, limitMs = CALL_LIMIT_MS): Promise<HistoryRow[]> {
    return this.#read(historyShape, 'history', 'read the history', [limit, sinceMs], limitMs);
  }

  /** The history's rows after one, for who verifies it. */
  chain(afterId: number, limit: number, limitMs = CALL_LIMIT_MS): Promise<ChainPage> {
    return this.#read(chainShape(afterId, limit), 'chain', 'read the history', [afterId, limit], limitMs);
  }

  /** Ends the lease of the holder that is named, without its secret. */
  async unlock(
    instanceId: string,
    { force, leaveSessions = false, orphans = null, limitMs = CALL_LIMIT_MS }: UnlockOptions,
  ): Promise<UnlockAnswer> {
    const policy = JSON.stringify({ ...(await this.#policy(orphans, limitMs)), leave: leaveSessions });
    return this.#read(unlockShape, 'unlock', 'unlock', [instanceId, force, policy], limitMs);
  }

  async cleanup(orphans: Orphans | null = null, limitMs = CALL_LIMIT_MS): Promise<CleanupAnswer> {
    const policy = JSON.stringify(await this.#policy(orphans, limitMs));
    return this.#read(cleanupShape, 'cleanup', 'clean up', [policy], limitMs);
  }

  /** Forgets run keys whose last run is longer ago, and what is older of the history. @returns how many of each. */
  prune(keepMs: number, limitMs = PRUNE_LIMIT_MS): Promise<{ runs: number; rows: number }> {
    return this.#read(pruneShape, 'prune', 'prune', [keepMs], limitMs);
  }

  /** Whether sessions that are in the way are told to end, as far as is known; else they are waited for. */
  get endsOrphans(): boolean {
    return this.orphanMode === 'terminate' || (this.orphanMode === 'auto' && !this.database.isPooled);
  }

  /** A pooler hands the tag of a session on to strangers: behind one, nothing may be ended by it. */
  async #policy(seen: Orphans | null, limitMs: number): Promise<Policy> {
    const mode =
      this.orphanMode === 'auto'
        ? (await this.database.findPooler(limitMs))
          ? 'wait'
          : 'terminate'
        : this.orphanMode;
    return policyOf(mode, seen);
  }

  /** Behind which kind of connection we are, the answer to the first poll tells: until then nothing is ended. */
  #pollPolicy(seen: Orphans | null): Policy {
    if (this.orphanMode !== 'auto') return policyOf(this.orphanMode, seen);
    const { isPooled, isDirect } = this.database;
    return policyOf(isPooled ? 'wait' : isDirect ? 'terminate' : 'look', seen);
  }

  /** Orphans that were only looked at are dealt with at once, now that it is known how. */
  async #afterLook(
    me: Identity,
    client: ClientDescription,
    options: PollOptions,
    policy: Policy,
    attempt: Attempt,
  ): Promise<Attempt> {
    if (policy.orphans !== 'look' || attempt.outcome !== 'held' || attempt.orphans === null) return attempt;
    await this.database.findPooler(options.limitMs);
    return this.poll(me, client, options);
  }

  /** @throws {InvalidAnswer} */
  async #read<T>(
    shape: Shape<T>,
    statement: keyof typeof CALLS,
    name: string,
    parameters: Call['parameters'],
    limitMs: number,
  ): Promise<T> {
    return shape(await this.#call(statement, name, parameters, limitMs), `${statement}()`);
  }

  #call(
    statement: keyof typeof CALLS,
    name: string,
    parameters: Call['parameters'],
    limitMs: number,
  ): Promise<unknown> {
    return this.database.call({
      name,
      statement: renderSql(CALLS[statement], this.schema),
      parameters,
      limitMs,
    });
  }
}
