import {
  isOutcome,
  type Answer,
  type AuditRow,
  type Caller,
  type ModelClient,
  type PollRequest,
  type Tables,
} from './calls.js';
import { CLOCK_BASE_MS } from './model-schema.js';
import { QueueModel } from './queue-model.js';
import { RefusalsModel } from './refusals-model.js';
import { RunsModel, type WorkResult } from './runs-model.js';

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

/** What the lock promises, said once more and without a database: each method predicts the answer of one call. */
export class LockModel {
  now = 0;
  lease: ModelLease | null = null;
  #audit: AuditRow[] = [];
  #queue = new QueueModel();
  #runs = new RunsModel();
  #refusals = new RefusalsModel();
  #acquired = new Set<string>();
  #released = new Set<string>();
  #lost = new Set<string>();

  constructor(
    readonly dbRole: string,
    /** The highest fencing token that was ever handed out, also to an attempt that was rolled back. */
    public lastToken: number,
  ) {}

  #copy(): LockModel {
    const copy = new LockModel(this.dbRole, this.lastToken);
    copy.now = this.now;
    copy.lease = this.lease === null ? null : { ...this.lease };
    copy.#audit = [...this.#audit];
    copy.#queue = this.#queue.copy();
    copy.#runs = this.#runs.copy();
    copy.#refusals = this.#refusals.copy();
    copy.#acquired = new Set(this.#acquired);
    copy.#released = new Set(this.#released);
    copy.#lost = new Set(this.#lost);
    return copy;
  }

  tables(): Tables {
    const { lease } = this;
    const leases = [];
    if (lease !== null) {
      const { instanceId, token, lockedAt, expiresAt, releasedAt, releasedBy } = lease;
      leases.push({ instanceId, token, lockedAt, expiresAt, releasedAt, releasedBy });
    }
    return { leases, waiters: this.#queue.table(), runs: this.#runs.table(), audit: this.#audit };
  }

  /** A lease that nobody else may take, on the database's clock. */
  get isHeld(): boolean {
    return this.lease !== null && this.lease.releasedAt === null && this.lease.expiresAt > this.now;
  }

  poll(me: Caller, request: PollRequest): Answer {
    const { isLast, client, pollIntervalMs, failureMemoryMs } = request;
    const run = this.#runs.settled(client.runKey, failureMemoryMs, this.now);
    if (run !== null) {
      this.#queue.forget(me.instanceId, this.now);
      return { outcome: 'settled', run };
    }
    const answer = this.#acquire(me, request);
    if (isOutcome(answer, 'acquired')) this.#queue.forget(me.instanceId, this.now);
    if (!isOutcome(answer, 'held')) return answer;
    const queueLength = this.#queue.lengthFor(me.instanceId, this.now);
    if (isLast) {
      this.#giveUpWaiting(me, answer.holder as { instanceId: string; command: string }, queueLength);
      return { ...answer, queueLength };
    }
    const countsForMs = Math.max(15_000, 6 * pollIntervalMs, 300 * queueLength);
    this.#queue.announce(me.instanceId, client, countsForMs, this.now);
    return { ...answer, queueLength, listens: false, listening: 0 };
  }

  /** The connection is lost before the commit: nothing remains of it but the token that it took. */
  pollRolledBack(me: Caller, request: PollRequest): Answer {
    const trial = this.#copy();
    const answer = trial.poll(me, request);
    this.lastToken = trial.lastToken;
    return answer;
  }

  #giveUpWaiting(me: Caller, holder: { instanceId: string; command: string }, queueLength: number): void {
    const mine = this.#queue.find(me.instanceId);
    if (mine === undefined) return;
    this.#queue.forget(me.instanceId, this.now);
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
      if (last.expiresAt > this.now && isMine) return this.#acquiredAnswer(last, null);
      if (last.expiresAt > this.now || last.token === respect)
        return { outcome: 'held', holder: this.#describe(last) };
    }
    const isAgain = last?.releasedAt === null && isMine; // its own lease had run out before it was known
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
    this.#acquired.add(me.instanceId);
    if (takeover !== null) this.#record('lock.takeover', me.instanceId, token, takeover);
    this.#record('lock.acquired', me.instanceId, token, { ttlMs, ...client });
    return this.#acquiredAnswer(lease, takeover);
  }

  release(me: Caller, details: Record<string, unknown>): Answer {
    const { lease } = this;
    if (lease?.instanceId !== me.instanceId) {
      if (this.#released.has(me.instanceId)) return { outcome: 'already_released' };
      const holder = lease?.instanceId ?? null;
      const holderFencingToken = lease?.token ?? null;
      this.#lose(me.instanceId, { holder, holderFencingToken });
      return { outcome: 'lost', holder };
    }
    if (!this.#isProven(me)) {
      this.#refuse('release', 'lock.release_failed', me.instanceId, { reason: 'wrong secret' });
      return { outcome: 'refused' };
    }
    if (lease.releasedAt !== null) return { outcome: 'already_released' };
    const told = {
      ...details,
      heldMs: ms(this.now - lease.lockedAt),
      late: lease.expiresAt <= this.now,
    };
    lease.expiresAt = Math.min(lease.expiresAt, this.now);
    lease.lockedAt = Math.min(lease.lockedAt, this.now - 1);
    this.#end(lease, (details.by as string | undefined) ?? 'holder', told);
    if ('run' in details && lease.client.runKey !== null) {
      this.#runs.store(lease.client.runKey, { ...lease, finishedAt: this.now }, details.run as WorkResult);
    }
    return { outcome: 'released', ...told };
  }

  leave(me: Caller): Answer {
    this.#queue.forget(me.instanceId, this.now);
    if (this.lease?.releasedAt === null && this.#isProven(me))
      return this.release(me, { reason: 'interrupted' });
    return { outcome: 'left' };
  }

  extend(me: Caller, ttlMs: number): Answer {
    const { lease } = this;
    if (lease === null || !this.isHeld || !this.#isProven(me)) {
      this.#refuse('extend', 'lease.extend_refused', me.instanceId, { ttlMs });
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

  cleanup(): Answer {
    const { lease } = this;
    const isOver = lease?.releasedAt === null && !this.isHeld;
    if (isOver) {
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
      state: isFree ? 'free' : this.isHeld ? 'held' : 'expired',
      lease: lease === null ? null : this.#describe(lease),
      waiters: this.#queue.counting(this.now).map(([instanceId, { arrivedAt, client }]) => {
        return { instanceId, ...client, dbRole: this.dbRole, waitingMs: ms(this.now - arrivedAt) };
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
      ...client,
      dbRole: this.dbRole,
      lockedAtMs: CLOCK_BASE_MS + ms(lockedAt),
      expiresAtMs: CLOCK_BASE_MS + ms(expiresAt),
      heldMs: ms(this.now - lockedAt),
      expiresInMs: ms(expiresAt - this.now),
      releasedAtMs: releasedAt === null ? null : CLOCK_BASE_MS + ms(releasedAt),
    };
  }

  /** Who once had the lease hears of its loss, once; from anybody else it is a refused attempt. */
  #lose(instanceId: string, details: Record<string, unknown>): void {
    if (!this.#acquired.has(instanceId))
      return this.#refuse('release', 'lock.release_failed', instanceId, { ...details, reason: 'never held' });
    if (this.#lost.has(instanceId)) return;
    this.#lost.add(instanceId);
    this.#record('lock.lost', instanceId, null, details);
  }

  #refuse(
    kind: 'release' | 'extend',
    event: string,
    instanceId: string,
    details: Record<string, unknown>,
  ): void {
    if (this.#refusals.isTold(kind, this.now)) this.#record(event, instanceId, null, details);
  }

  #record(event: string, instanceId: string, token: number | null, details: Record<string, unknown>): void {
    this.#audit.push({ event, instanceId, token, details });
  }
}
