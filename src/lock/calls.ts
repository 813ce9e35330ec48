import { classify } from '../db/classify.js';
import type { Call, Database, Precondition } from '../db/database.js';
import type { Shape } from '../db/shape.js';
import { CALLS } from '../generated/sql.js';
import { trustedSchema } from '../schema/owners.js';
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
import { endOwnSessions } from './end-own-sessions.js';
import { inAscii, type ClientDescription, type Identity } from './lease.js';
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

/** A batch of old history takes longer; it must stay below the session's statement_timeout. */
const PRUNE_LIMIT_MS = 14_000;
/** Rows of each kind that one batch removes at most. */
const PRUNE_BATCH = 10_000;

export interface UnlockOptions {
  /** Also while the lease runs. */
  force: boolean;
  /** Also when sessions of the lease are still open. */
  leaveSessions?: boolean;
  /** What the last call said is still in the way. */
  orphans?: Orphans | null;
  limitMs?: number;
}

/** How the command ended, for the history. */
export interface EndDetails {
  exitCode?: number | null;
  signal?: string | null;
  reason?: string;
  leftovers?: number;
}

/** How the work of a run key ended. */
export interface WorkResult {
  succeeded: boolean;
  exitCode: number;
  durationMs: number;
}

export interface ReleaseOptions {
  by?: 'holder' | 'guard';
  end?: EndDetails;
  /** null: nothing is stored for the lease's run key. */
  work?: WorkResult | null;
  /** What the last call said is still in the way. */
  orphans?: Orphans | null;
  limitMs?: number;
}

/** The operations on one lock: one SQL function, one transaction each. Errors are the database's (see classify()). */
export class LockCalls {
  readonly #trusted: Precondition;

  constructor(
    readonly database: Database,
    readonly schema: string,
    readonly orphanMode: OrphanMode = 'auto',
  ) {
    this.#trusted = trustedSchema(schema);
  }

  /**
   * One attempt, which also announces this instance as a waiter. The last one leaves the queue if it does not acquire, and goes
   * into the history as a timeout.
   * @returns null when the lock schema is missing, or has another version than this program needs: nothing was done.
   */
  async poll(me: Identity, client: ClientDescription, options: PollOptions): Promise<Attempt | null> {
    const policy = this.#pollPolicy(options.orphans);
    const sentAtMs = performance.now();
    const parameters = pollParameters(me, client, options, policy);
    const parametersInAscii = pollParameters(me, inAscii(client), options, policy);
    let answer: unknown;
    try {
      answer = await this.#call('poll', 'poll the lock', parameters, options.limitMs, parametersInAscii);
    } catch (error) {
      if (classify(error) === 'absent') return null;
      throw error;
    }
    if (isAboutSchema(answer)) return null;
    const attempt = readAttempt(answer, { me, ttlMs: options.ttlMs, sentAtMs });
    if (attempt.outcome !== 'held' || attempt.orphans === null) return attempt;
    if (policy.orphans !== 'look') {
      const { holder, orphans } = attempt;
      return {
        ...attempt,
        orphans: await this.#settle(orphans, policy, holder?.instanceId, options.limitMs),
      };
    }
    // Now it is known which kind of connection this is, and so what may be done about the orphans.
    await this.database.findPooler(options.limitMs);
    return this.poll(me, client, options);
  }

  /** Whether the work of a run key is still to be done, and whether anybody has the lock: the cheapest of all calls. */
  look(
    { runKey, commandSha256 }: Pick<ClientDescription, 'runKey' | 'commandSha256'>,
    failureMemoryMs: number | null,
    limitMs = CALL_LIMIT_MS,
  ): Promise<Look> {
    const parameters = [runKey, commandSha256, failureMemoryMs];
    return this.#read(lookShape, 'look', 'look at the run key', parameters, limitMs);
  }

  /** Leaves the queue, and gives back what an attempt whose answer was not waited for may have brought. */
  leave(me: Identity, limitMs: number): Promise<ReleaseAnswer | { outcome: 'left' }> {
    return this.#read(leaveShape, 'leave', 'leave the queue', [me.instanceId, me.secret], limitMs);
  }

  async release(
    me: Identity,
    { by = 'holder', end = {}, work = null, orphans = null, limitMs = CALL_LIMIT_MS }: ReleaseOptions = {},
  ): Promise<ReleaseAnswer> {
    const policy = await this.#policy(orphans, limitMs);
    const { orphans: mode, seen } = policy;
    const { succeeded = null, exitCode = null, durationMs = null } = work ?? {};
    const parameters = [
      ...[me.instanceId, me.secret, by, mode, seen],
      ...[end.exitCode ?? null, end.signal ?? null, end.reason ?? null, end.leftovers ?? null],
      ...[succeeded, exitCode, durationMs],
    ];
    const answer = await this.#read(releaseShape, 'release', 'release the lease', parameters, limitMs);
    if (answer.outcome !== 'orphans') return answer;
    return { ...answer, ...(await this.#settle(answer, policy, me.instanceId, limitMs, true)) };
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
    const policy = await this.#policy(orphans, limitMs);
    const parameters = [instanceId, force, leaveSessions, policy.orphans, policy.seen];
    const answer = await this.#read(unlockShape, 'unlock', 'unlock', parameters, limitMs);
    if (answer.outcome !== 'orphans') return answer;
    return { ...answer, ...(await this.#settle(answer, policy, instanceId, limitMs)) };
  }

  async cleanup(orphans: Orphans | null = null, limitMs = CALL_LIMIT_MS): Promise<CleanupAnswer> {
    const policy = await this.#policy(orphans, limitMs);
    const { orphans: mode, seen } = policy;
    const answer = await this.#read(cleanupShape, 'cleanup', 'clean up', [mode, seen], limitMs);
    if (answer.orphans === null || answer.orphans.denied === 0) return answer;
    const { lease } = await this.status(limitMs);
    return { ...answer, orphans: await this.#settle(answer.orphans, policy, lease?.instanceId, limitMs) };
  }

  /**
   * Removes run keys whose last run is longer ago, and older history, in batches: none holds the lock's row for long.
   * @returns how many rows of each.
   */
  async prune(keepMs: number, limitMs = PRUNE_LIMIT_MS): Promise<{ runs: number; rows: number }> {
    const removed = { runs: 0, rows: 0 };
    for (let more = true; more;) {
      const answer = await this.#read(pruneShape, 'prune', 'prune', [keepMs, PRUNE_BATCH], limitMs);
      removed.runs += answer.runs;
      removed.rows += answer.rows;
      more = answer.more;
    }
    return removed;
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

  /** What the functions have not the rights to end, our own login may. */
  async #settle(
    orphans: Orphans,
    policy: Policy,
    instanceId: string | undefined,
    limitMs: number,
    isOurs = false,
  ): Promise<Orphans> {
    if (policy.orphans !== 'terminate' || instanceId === undefined) return orphans;
    return endOwnSessions(this.database, this.schema, { instanceId, isOurs }, orphans, limitMs);
  }

  /** Behind which kind of connection we are, the answer to the first poll tells: until then nothing is ended. */
  #pollPolicy(seen: Orphans | null): Policy {
    if (this.orphanMode !== 'auto') return policyOf(this.orphanMode, seen);
    const { isPooled, isDirect } = this.database;
    return policyOf(isPooled ? 'wait' : isDirect ? 'terminate' : 'look', seen);
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
    parametersInAscii = parameters,
  ): Promise<unknown> {
    return this.database.call({
      name,
      statement: renderSql(CALLS[statement], this.schema),
      parameters,
      parametersInAscii,
      limitMs,
      precondition: this.#trusted,
    });
  }
}
