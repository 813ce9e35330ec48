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
  LeaseEnd,
  LockStatus,
  RunKeyState,
  Orphans,
  ReleaseAnswer,
  SettleAnswer,
  UnlockAnswer,
  WatchAnswer,
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
  runKeyShape,
  pruneShape,
  releaseShape,
  settleShape,
  statusShape,
  unlockShape,
  watchShape,
} from './read-answers.js';

/** The time limit of a call. After it, the connection counts as lost. */
export const CALL_LIMIT_MS = 5_000;

/** The time limit of a batch, which is shorter than the session's statement_timeout. */
const PRUNE_LIMIT_MS = 14_000;
/** The maximum of rows of each kind that a batch removes. */
const PRUNE_BATCH = 10_000;

export interface UnlockOptions {
  /** Also before the lease has expired. */
  force: boolean;
  /** Also when sessions of the lease have not ended. */
  leaveSessions?: boolean;
  /** The sessions that the last call found. */
  orphans?: Orphans | null;
  limitMs?: number;
}

/** How the command ended, for the history. */
export interface EndDetails {
  exitCode?: number | null;
  signal?: string | null;
  reason?: string;
  leftovers?: number;
  /** What kind of end it was; null: no command was started. */
  kind?: Exclude<LeaseEnd, 'expired' | 'unlocked'> | null;
  /** What an earlier unclean end had left behind was recovered under this lease. */
  recovered?: boolean;
}

/** The result of the work of a run key. */
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
  /** The sessions that the last call found. */
  orphans?: Orphans | null;
  limitMs?: number;
}

/** The operations on a lock. Each is one SQL function in its own transaction. Errors are the database's (see classify()). */
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
   * One attempt, which also registers this instance as a waiter. The last one leaves the queue if it does not acquire the
   * lock, and is recorded in the history as a timeout.
   * @returns null when the lock schema is missing, or has another version than this program needs. Nothing was changed.
   */
  async poll(me: Identity, client: ClientDescription, options: PollOptions): Promise<Attempt | null> {
    const policy = this.#policy(options.orphans);
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
    if (await this.#onlyListed(policy, options.limitMs)) return this.poll(me, client, options);
    const { holder, orphans } = attempt;
    return {
      ...attempt,
      orphans: await this.#endOwnSessions(orphans, policy, holder?.instanceId, options.limitMs),
    };
  }

  /** Reads whether the work of a run key is done, and whether the lock is held. It is the cheapest call. */
  readRunKey(
    { runKey, commandSha256 }: Pick<ClientDescription, 'runKey' | 'commandSha256'>,
    failureMemoryMs: number | null,
    limitMs = CALL_LIMIT_MS,
  ): Promise<RunKeyState> {
    const parameters = [runKey, commandSha256, failureMemoryMs];
    return this.#read(runKeyShape, 'readRunKey', 'read the run key', parameters, limitMs);
  }

  /** One read of a watcher. `watcher` is a random name of its own; after the last read it does not count any more. */
  watch(runKey: string, watcher: string, isLast: boolean, limitMs = CALL_LIMIT_MS): Promise<WatchAnswer> {
    return this.#read(
      watchShape,
      'watch',
      'read the run key for a watcher',
      [runKey, watcher, isLast],
      limitMs,
    );
  }

  /** Leaves the queue, and releases a lease that an attempt may have acquired without its answer being read. */
  leave(me: Identity, limitMs: number): Promise<ReleaseAnswer | { outcome: 'left' }> {
    return this.#read(leaveShape, 'leave', 'leave the queue', [me.instanceId, me.secret], limitMs);
  }

  async release(me: Identity, options: ReleaseOptions = {}): Promise<ReleaseAnswer> {
    const { by = 'holder', end = {}, work = null, orphans = null, limitMs = CALL_LIMIT_MS } = options;
    const policy = this.#policy(orphans);
    const { orphans: mode, seen } = policy;
    const { succeeded = null, exitCode = null, durationMs = null } = work ?? {};
    const parameters = [
      ...[me.instanceId, me.secret, by, mode, seen],
      ...[end.exitCode ?? null, end.signal ?? null, end.reason ?? null, end.leftovers ?? null],
      ...[end.kind ?? null, end.recovered ?? false],
      ...[succeeded, exitCode, durationMs],
    ];
    const answer = await this.#read(releaseShape, 'release', 'release the lease', parameters, limitMs);
    if (answer.outcome !== 'orphans') return answer;
    if (await this.#onlyListed(policy, limitMs)) return this.release(me, options);
    return { ...answer, ...(await this.#endOwnSessions(answer, policy, me.instanceId, limitMs, true)) };
  }

  /** Ends the database sessions that a try of the command has left, as a release does. Refused when the lease has ended. */
  async settle(me: Identity, orphans: Orphans | null = null, limitMs = CALL_LIMIT_MS): Promise<SettleAnswer> {
    const policy = this.#policy(orphans);
    const parameters = [me.instanceId, me.secret, policy.orphans, policy.seen];
    const answer = await this.#read(settleShape, 'settle', 'end what the command left', parameters, limitMs);
    if (answer.outcome !== 'orphans') return answer;
    if (await this.#onlyListed(policy, limitMs)) return this.settle(me, orphans, limitMs);
    return { ...answer, ...(await this.#endOwnSessions(answer, policy, me.instanceId, limitMs, true)) };
  }

  /** Refused when the lease has ended, or is not this instance's. Its new end is counted from before the call was sent. */
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

  /** The rows of the history after the row `afterId`, for verification. */
  chain(afterId: number, limit: number, limitMs = CALL_LIMIT_MS): Promise<ChainPage> {
    return this.#read(chainShape(afterId, limit), 'chain', 'read the history', [afterId, limit], limitMs);
  }

  /** Ends the lease of the holder `instanceId`, without its secret. */
  async unlock(instanceId: string, options: UnlockOptions): Promise<UnlockAnswer> {
    const { force, leaveSessions = false, orphans = null, limitMs = CALL_LIMIT_MS } = options;
    const policy = this.#policy(orphans);
    const parameters = [instanceId, force, leaveSessions, policy.orphans, policy.seen];
    const answer = await this.#read(unlockShape, 'unlock', 'unlock', parameters, limitMs);
    if (answer.outcome !== 'orphans') return answer;
    if (await this.#onlyListed(policy, limitMs)) return this.unlock(instanceId, options);
    return { ...answer, ...(await this.#endOwnSessions(answer, policy, instanceId, limitMs)) };
  }

  async cleanup(orphans: Orphans | null = null, limitMs = CALL_LIMIT_MS): Promise<CleanupAnswer> {
    const policy = this.#policy(orphans);
    const { orphans: mode, seen } = policy;
    const answer = await this.#read(cleanupShape, 'cleanup', 'clean up', [mode, seen], limitMs);
    if (answer.orphans === null) return answer;
    if (await this.#onlyListed(policy, limitMs)) return this.cleanup(orphans, limitMs);
    if (answer.orphans.denied === 0) return answer;
    const { lease } = await this.status(limitMs);
    return {
      ...answer,
      orphans: await this.#endOwnSessions(answer.orphans, policy, lease?.instanceId, limitMs),
    };
  }

  /**
   * Removes run keys whose last run is longer ago, and older history, in batches, so that the lock's row is never locked long.
   * @returns the number of rows removed of each.
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

  /** Whether orphans are terminated, as far as is known; otherwise they are waited for. */
  get endsOrphans(): boolean {
    return this.orphanMode === 'terminate' || (this.orphanMode === 'auto' && !this.database.isPooled);
  }

  /** Terminates, as our login role, sessions that the SQL functions have no right to terminate. */
  async #endOwnSessions(
    orphans: Orphans,
    policy: Policy,
    instanceId: string | undefined,
    limitMs: number,
    isOurs = false,
  ): Promise<Orphans> {
    if (policy.orphans !== 'terminate' || instanceId === undefined) return orphans;
    return endOwnSessions(this.database, this.schema, { instanceId, isOurs }, orphans, limitMs);
  }

  /**
   * Behind a pooler, a session keeps its application_name for the next client, so no session is terminated by name. Until it is
   * known whether there is a pooler, a call only lists the sessions.
   */
  #policy(seen: Orphans | null): Policy {
    if (this.orphanMode !== 'auto') return policyOf(this.orphanMode, seen);
    const { isPooled, isDirect } = this.database;
    return policyOf(isPooled ? 'wait' : isDirect ? 'terminate' : 'list', seen);
  }

  /** Whether a call that found orphans only listed them. Then it is made again: by now it is known what may be done about them. */
  async #onlyListed(policy: Policy, limitMs: number): Promise<boolean> {
    if (policy.orphans !== 'list') return false;
    await this.database.findPooler(limitMs);
    return true;
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
