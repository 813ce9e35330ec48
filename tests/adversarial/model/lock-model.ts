import {
  isOutcome,
  type Answer,
  type AuditRow,
  type Caller,
  type LookRequest,
  type ModelClient,
  type PollRequest,
  type ReleaseRequest,
  type Tables,
  type WatchRequest,
} from './calls.js';
import { EndsModel } from './ends-model.js';
import { CLOCK_BASE_MS } from './model-schema.js';
import { QueueModel } from './queue-model.js';
import { isRefusal, RefusalsModel } from './refusals-model.js';
import { describeRun, RunsModel } from './runs-model.js';
import { sha256 } from './sha256.js';
import { WatchersModel } from './watchers-model.js';

/** Times are microseconds on the database's clock, counted from CLOCK_BASE_MS. */
interface ModelLease {
  instanceId: string;
  secret: string;
  token: number;
  lockedAt: number;
  expiresAt: number;
  releasedAt: number | null;
  releasedBy: string | null;
  client: ModelClient;
}

const ms = (us: number): number => Math.floor(us / 1000);
const USED = { error: '23505' };
const NOT_HELD = { error: '55000' };

/** The rules of the lock, without a database: each method predicts the answer of one call. */
export class LockModel {
  now = 0;
  lease: ModelLease | null = null;
  #audit: AuditRow[] = [];
  #queue = new QueueModel();
  #runs = new RunsModel();
  #ends = new EndsModel();
  #watchers = new WatchersModel();
  #refusals = new RefusalsModel();
  /** The secret of each acquisition, by its instance id. */
  #acquired = new Map<string, string>();
  #released = new Set<string>();
  #lost = new Set<string>();

  constructor(
    readonly dbRole: string,
    /** The highest fencing token ever issued, also to an attempt that was rolled back. */
    public lastToken: number,
  ) {}

  #copy(): LockModel {
    const copy = new LockModel(this.dbRole, this.lastToken);
    copy.now = this.now;
    copy.lease = this.lease === null ? null : { ...this.lease };
    copy.#audit = [...this.#audit];
    copy.#queue = this.#queue.copy();
    copy.#runs = this.#runs.copy();
    copy.#ends = this.#ends.copy();
    copy.#watchers = this.#watchers.copy();
    copy.#refusals = this.#refusals.copy();
    copy.#acquired = new Map(this.#acquired);
    copy.#released = new Set(this.#released);
    copy.#lost = new Set(this.#lost);
    return copy;
  }

  tables(): Tables {
    const { lease } = this;
    const leases = [];
    if (lease !== null) {
      const { instanceId, token, secret, lockedAt, expiresAt, releasedAt, releasedBy } = lease;
      const times = { lockedAt, expiresAt, releasedAt, releasedBy };
      leases.push({ instanceId, token, ...times, secretSha256: sha256(secret), dbRole: this.dbRole });
    }
    return {
      leases,
      waiters: this.#queue.table(),
      runs: this.#runs.table(),
      ends: this.#ends.table(),
      watchers: this.#watchers.table(),
      audit: [...this.#audit],
    };
  }

  /** A lease that no other client may take, on the database's clock. */
  get isHeld(): boolean {
    return this.lease !== null && this.lease.releasedAt === null && this.lease.expiresAt > this.now;
  }

  poll(me: Caller, request: PollRequest): Answer {
    const { isLast, client, pollIntervalMs, failureMemoryMs } = request;
    const run = this.#runs.settled(client, failureMemoryMs, this.now);
    if (run !== null) {
      this.#queue.forget(me, this.now);
      return { outcome: 'settled', run };
    }
    const answer = this.#acquire(me, request);
    if (isOutcome(answer, 'acquired')) this.#queue.forget(me, this.now);
    if (!isOutcome(answer, 'held')) return answer;
    const queueLength = this.#queue.lengthFor(me.instanceId, this.now);
    if (isLast) {
      this.#giveUpWaiting(me, answer.holder as { instanceId: string; command: string }, queueLength);
      return { ...answer, queueLength };
    }
    const countsForMs = Math.max(15_000, 6 * pollIntervalMs, 600 * queueLength);
    // The id of another holder is not announced.
    const isAnothers = (this.#acquired.get(me.instanceId) ?? me.secret) !== me.secret;
    if (!isAnothers) this.#queue.announce(me, this.dbRole, client, countsForMs, this.now);
    return { ...answer, queueLength, listens: false, listening: 0 };
  }

  /** The connection is lost before the commit: only the used token remains. */
  pollRolledBack(me: Caller, request: PollRequest): Answer {
    const trial = this.#copy();
    const answer = trial.poll(me, request);
    this.lastToken = trial.lastToken;
    return answer;
  }

  #giveUpWaiting(me: Caller, holder: { instanceId: string; command: string }, queueLength: number): void {
    const mine = this.#queue.find(me);
    if (mine === undefined) return;
    this.#queue.forget(me, this.now);
    this.#record('wait.timeout', me.instanceId, null, {
      holder: holder.instanceId,
      holderCommand: holder.command,
      queueLength,
      waitedMs: ms(this.now - mine.arrivedAt),
    });
  }

  #acquire(me: Caller, { ttlMs, client, respect }: PollRequest): Answer {
    const last = this.lease;
    const isMine = this.#isProven(me);
    if (last?.releasedAt === null) {
      if (last.expiresAt > this.now && isMine)
        return { ...this.#acquiredAnswer(last, null), previousEnd: this.#ends.of(client) };
      if (last.expiresAt > this.now || last.token === respect)
        return { outcome: 'held', holder: this.#describe(last) };
    }
    const isAgain = last?.releasedAt === null && isMine; // its own lease had expired before it was known
    if (this.#acquired.has(me.instanceId) && !isAgain) return USED;

    const takeover =
      last?.releasedAt === null
        ? {
            previousInstanceId: last.instanceId,
            expiredMs: ms(this.now - last.expiresAt),
            sessionsEnded: 0,
          }
        : null;
    const token = ++this.lastToken;
    const expiresAt = this.now + ttlMs * 1000;
    const lease = { ...me, token, lockedAt: this.now, expiresAt, releasedAt: null, releasedBy: null, client };
    this.lease = lease;
    this.#acquired.set(me.instanceId, me.secret);
    if (last !== null && takeover !== null) {
      this.#ends.store(last, 'expired', {}, this.now);
      this.#record('lock.takeover', me.instanceId, token, takeover);
    }
    this.#record('lock.acquired', me.instanceId, token, { ttlMs, ...shown(client) });
    const otherCommand = this.#runs.otherCommand(client);
    return { ...this.#acquiredAnswer(lease, takeover), otherCommand, previousEnd: this.#ends.of(client) };
  }

  release(me: Caller, { by, end, work }: ReleaseRequest): Answer {
    const { lease } = this;
    if (lease?.instanceId !== me.instanceId) {
      if (this.#released.has(me.instanceId)) return { outcome: 'already_released' };
      const holder = lease?.instanceId ?? null;
      const holderFencingToken = lease?.token ?? null;
      this.#lose(me, { holder, holderFencingToken });
      return { outcome: 'lost', holder };
    }
    if (!this.#isProven(me)) {
      this.#refuse('lock.release_failed', me.instanceId, { reason: 'wrong secret' });
      return { outcome: 'refused' };
    }
    if (lease.releasedAt !== null) return { outcome: 'already_released' };
    const { kind = null, recovered = false, ...shownEnd } = end;
    const told = {
      ...shownEnd,
      by,
      heldMs: ms(this.now - lease.lockedAt),
      late: lease.expiresAt <= this.now,
    };
    this.#ends.store(lease, kind, { succeeded: end.exitCode === 0, recovered }, this.now);
    lease.expiresAt = Math.min(lease.expiresAt, this.now);
    lease.lockedAt = Math.min(lease.lockedAt, this.now - 1);
    this.#end(lease, by, told);
    if (work !== null) this.#runs.store({ ...lease, finishedAt: this.now }, work);
    return { outcome: 'released', ...told };
  }

  leave(me: Caller): Answer {
    this.#queue.forget(me, this.now);
    if (this.lease?.releasedAt === null && this.#isProven(me))
      return this.release(me, { by: 'holder', end: { reason: 'interrupted' }, work: null });
    return { outcome: 'left' };
  }

  extend(me: Caller, ttlMs: number): Answer {
    const { lease } = this;
    if (lease === null || !this.isHeld || !this.#isProven(me)) {
      this.#refuse('lease.extend_refused', me.instanceId, { ttlMs });
      return { outcome: 'refused' };
    }
    lease.expiresAt = Math.max(lease.expiresAt, this.now + ttlMs * 1000);
    const expiresAtMs = CLOCK_BASE_MS + ms(lease.expiresAt);
    this.#record('lease.extended', me.instanceId, lease.token, { ttlMs, expiresAtMs });
    return { outcome: 'extended', lease: this.#describe(lease) };
  }

  assertHeld(instanceId: string, token: number): Answer {
    const { lease } = this;
    return this.isHeld && lease?.instanceId === instanceId && lease.token === token ? '' : NOT_HELD;
  }

  look({ client, failureMemoryMs }: LookRequest): Answer {
    return {
      run: this.#runs.settled(client, failureMemoryMs, this.now),
      isHeld: this.isHeld,
      mayBeUnfinished: this.#ends.has(client) || this.lease?.releasedAt === null,
    };
  }

  /** @returns null: two runs ended in the same microsecond, so one of two answers is right. Nothing was changed. */
  watch({ runKey, watcher, isLast }: WatchRequest): Answer | null {
    const { lease } = this;
    const [success = null, ...successes] = this.#runs.lastOf(runKey, true);
    const [failure = null, ...failures] = this.#runs.lastOf(runKey, false);
    const hasSucceeded = (commandSha256: string): boolean => this.#runs.hasSucceeded(runKey, commandSha256);
    const [uncleanEnd = null, ...uncleanEnds] = this.#ends.lastOf(runKey, (sha) => !hasSucceeded(sha));
    if (successes.length + failures.length + uncleanEnds.length > 0) return null;
    const begun = this.#queue.counting(this.now).map(([, { client }]) => client);
    if (lease?.releasedAt === null) begun.push(lease.client);
    const isAwaited = begun.some((client) => client.runKey === runKey && !hasSucceeded(client.commandSha256));
    const done = success !== null && failure === null && uncleanEnd === null && !isAwaited;
    return {
      ...{ done, uncleanEnd, isAwaited },
      success: success && describeRun(success),
      failure: failure && describeRun(failure),
      failedAgoMs: failure && ms(this.now - failure.finishedAt),
      holder: lease !== null && this.isHeld ? this.#describe(lease) : null,
      watchers: this.#watchers.look(watcher, done || isLast, this.now),
    };
  }

  cleanup(): Answer {
    const { lease } = this;
    const isOver = lease?.releasedAt === null && !this.isHeld;
    if (isOver) {
      this.#ends.store(lease, 'expired', {}, this.now);
      const heldMs = ms(lease.expiresAt - lease.lockedAt);
      const expiredMs = ms(this.now - lease.expiresAt);
      this.#end(lease, 'cleanup', { by: 'cleanup', heldMs, expiredMs });
    }
    return { leases: isOver ? 1 : 0, waiters: this.#queue.forget(null, this.now), orphans: null };
  }

  status(): Answer {
    const { lease } = this;
    const isFree = lease?.releasedAt !== null;
    return {
      watchers: this.#watchers.counting(this.now),
      uncleanEnds: this.#ends.list(),
      isReplica: false,
      state: isFree ? 'free' : this.isHeld ? 'held' : 'expired',
      lease: lease === null ? null : this.#describe(lease),
      waiters: this.#queue.counting(this.now).map(([instanceId, { arrivedAt, client }]) => {
        return { instanceId, ...shown(client), dbRole: this.dbRole, waitingMs: ms(this.now - arrivedAt) };
      }),
    };
  }

  #end(lease: ModelLease, by: string, details: Record<string, unknown>): void {
    lease.releasedAt = this.now;
    lease.releasedBy = by;
    this.#released.add(lease.instanceId);
    this.#record('lock.released', lease.instanceId, lease.token, details);
  }

  #isProven(me: Caller): boolean {
    return this.lease?.instanceId === me.instanceId && this.lease.secret === me.secret;
  }

  #acquiredAnswer(lease: ModelLease, takeover: Record<string, unknown> | null): Answer {
    return { outcome: 'acquired', lease: this.#describe(lease), takeover };
  }

  #describe(lease: ModelLease): Record<string, unknown> {
    const { instanceId, token, lockedAt, expiresAt, releasedAt, client } = lease;
    return {
      instanceId,
      fencingToken: token,
      ...shown(client),
      dbRole: this.dbRole,
      lockedAtMs: CLOCK_BASE_MS + ms(lockedAt),
      expiresAtMs: CLOCK_BASE_MS + ms(expiresAt),
      heldMs: ms(this.now - lockedAt),
      expiresInMs: ms(expiresAt - this.now),
      releasedAtMs: releasedAt === null ? null : CLOCK_BASE_MS + ms(releasedAt),
    };
  }

  /** A former holder gets the loss, once; for any other client it is a refused attempt. */
  #lose({ instanceId, secret }: Caller, details: Record<string, unknown>): void {
    if (this.#acquired.get(instanceId) !== secret)
      return this.#refuse('lock.release_failed', instanceId, { ...details, reason: 'never held' });
    if (this.#lost.has(instanceId)) return;
    this.#lost.add(instanceId);
    this.#record('lock.lost', instanceId, null, details);
  }

  /** The row is about the caller: it proved nothing about the named instance. */
  #refuse(event: string, namedInstanceId: string, details: Record<string, unknown>): void {
    if (this.#refusals.isTold(event, this.dbRole, this.now))
      this.#record(event, null, null, { ...details, namedInstanceId });
  }

  /**
   * A refused attempt of another role: it may leave one row about itself, as often as any client, and may remove
   * waiters
   * that do not count any more. Nothing else changes.
   */
  adoptRefusal(row: AuditRow | undefined, { waiters, watchers }: Pick<Tables, 'waiters' | 'watchers'>): void {
    if (row !== undefined) {
      if (!isRefusal(row.event) || row.isChained || row.instanceId !== null || row.token !== null)
        throw new Error(`a row that is not about an attempt: ${JSON.stringify(row)}`);
      if (!this.#refusals.isTold(row.event, row.dbRole, this.now))
        throw new Error(`${row.event} of ${row.dbRole} is told twice in a second`);
      this.#audit.push(row);
    }
    this.#queue.adopt(waiters, this.now);
    this.#watchers.adopt(watchers, this.now);
  }

  #record(
    event: string,
    instanceId: string | null,
    token: number | null,
    details: AuditRow['details'],
  ): void {
    const isChained = !isRefusal(event) && event !== 'wait.timeout';
    this.#audit.push({ event, instanceId, token, dbRole: this.dbRole, isChained, details });
  }
}

/** What other clients see of a client. */
function shown({ host, pid, command, runKey }: ModelClient): Record<string, unknown> {
  return { host, pid, command, runKey };
}
