import { hostname } from 'node:os';
import { readConnectionConfig } from '../db/settings/connection-config.js';
import { OwnDatabase } from '../db/own-database.js';
import { BorrowedDatabase } from '../db/borrowed-database.js';
import type { Database } from '../db/database.js';
import { errorCode, mayPass } from '../db/classify.js';
import { explain } from '../db/explain.js';
import { MigrateLockError, UsageError } from '../errors.js';
import { createEventStream, type EventStream } from '../events/event-stream.js';
import { redactText } from '../redact/command.js';
import { ensureSchema } from '../schema/apply.js';
import { checkSchemaName } from '../schema/schema-name.js';
import type { LockStatus } from '../lock/answers.js';
import { CALL_LIMIT_MS, LockCalls } from '../lock/calls.js';
import { cleanUp } from '../admin/clean-up.js';
import { childTimes } from '../lock/lease-times.js';
import { keepTrying } from '../lock/keep-trying.js';
import { releaseLease } from '../lock/release.js';
import { describeThisProcess, newIdentity, type Identity, type Lease } from '../lock/lease.js';
import { positive, type MigrationLockOptions } from './migration-lock-options.js';
import { waitForLease, type WaitResult } from '../lock/wait-for-lease.js';

/**
 * The lock of one database: a lease that exactly one process at a time can have. One instance is good for one lease at a
 * time; after a release it can acquire again, under a new instance id.
 *
 * A function cannot be killed: work under a lease in this process must end before `expiresAt`, or another instance may start.
 * The command line gives a stronger guarantee: it ends its child in time.
 */
export class MigrationLock {
  readonly #database: Database;
  readonly #calls: LockCalls;
  readonly #options: MigrationLockOptions;
  /** The command that waiters see. */
  readonly #command: string | null;
  readonly #ttlMs: number;
  /** Follows the caller's signal, which gets one listener only: Node warns about more than ten. */
  readonly #signal: AbortSignal;
  readonly #events: EventStream;
  #identity: Identity = newIdentity();
  #lease: Lease | undefined;
  #isBusy = false;

  /** @throws {UsageError} when an option cannot be used. */
  constructor(options: MigrationLockOptions) {
    this.#options = options;
    this.#ttlMs = positive('ttlMs', options.ttlMs ?? 30_000);
    this.#signal =
      options.signal === undefined ? new AbortController().signal : AbortSignal.any([options.signal]);
    const { connection, command } = options;
    let secrets: string[] = [];
    if (typeof connection === 'string') {
      const config = readConnectionConfig({ url: connection, env: process.env });
      this.#database = new OwnDatabase(config);
      secrets = config.secrets;
    } else {
      // Without types it may be anything, and process.env.DATABASE_URL is undefined where it is unset.
      if (typeof connection !== 'function')
        throw new UsageError(
          'connection is neither a URL nor a postgres.js instance.',
          'Give the URL as a string: postgres://user@host:5432/database. Is its variable unset?',
        );
      this.#database = new BorrowedDatabase(connection);
    }
    this.#command = command === undefined ? null : redactText(command, secrets);
    const schema = checkSchemaName(options.schema ?? 'migrate_lock', 'schema');
    this.#calls = new LockCalls(this.#database, schema);
    this.#events = createEventStream(
      {
        instanceId: this.instanceId,
        host: hostname(),
        pid: process.pid,
        database: this.#database.name,
        schema,
      },
      options.onEvent === undefined ? [] : [options.onEvent],
    );
  }

  /** Identifies this lease, or the attempt to acquire it, in the table and in every event. */
  get instanceId(): string {
    return this.#identity.instanceId;
  }

  /** The lease of this instance until it is released; it may have expired. */
  get lease(): Lease | undefined {
    return this.#lease;
  }

  /**
   * One attempt to acquire the lease.
   * @returns true when it was acquired, false when another instance holds it.
   * @throws {MigrateLockError} with the code LOCK_MISUSED when this instance has it already or is acquiring it; otherwise
   * what the database said.
   */
  async acquire(): Promise<boolean> {
    return this.#acquiring(async () => {
      const result = await this.#wait(0);
      if (result.outcome === 'timed-out') return false;
      leaseOrThrow(result);
      return true;
    });
  }

  /**
   * Waits for the lease until the wait timeout.
   * @returns the lease.
   * @throws {LockWaitTimeoutError} when it was not acquired in time; it names the holder.
   * @throws {MigrateLockError} with the code LOCK_MISUSED, or what the database said.
   * @throws the reason of `signal` when that was aborted.
   */
  async wait(): Promise<Lease> {
    return this.#acquiring(async () => leaseOrThrow(await this.#wait(this.#options.waitTimeoutMs ?? 30_000)));
  }

  /**
   * Releases the lease. While the database cannot be reached it tries again, for the rest of the lease, 30 s at
   * most. Never throws: a lease that cannot be released expires, and the event `lock.release_failed` says when.
   * @returns true when this call released it; false when it was not this instance's (any more), which events report.
   */
  async release(): Promise<boolean> {
    const lease = this.#lease;
    if (lease === undefined) {
      this.#events.emit({
        event: 'error',
        code: 'LOCK_MISUSED',
        message: 'release(): this instance has no lease',
      });
      return false;
    }
    this.#lease = undefined;
    const outcome = await releaseLease(this.#calls, this.#identity, lease, {
      end: {},
      emit: this.#events.emit,
      signal: this.#signal,
    });
    this.#database.disconnect();
    this.#startOver();
    return outcome === 'released';
  }

  /**
   * Makes the lease last for at least `ttlMs` from now: an explicit decision, not a heartbeat. It never gets shorter. While
   * the database is away, or the lock's row is locked, it is tried again until shortly before the lease's end.
   * @returns false when the lease has ended, or is not this instance's any more.
   * @throws {MigrateLockError} with the code DATABASE_UNREACHABLE (exit code 69) when the database stayed away for so long:
   * the lease then lasts until its end as the message says it, or longer if only the answer was lost. Otherwise what the
   * database said.
   */
  async extend(ttlMs: number): Promise<boolean> {
    const lease = this.#lease;
    const me = this.#identity;
    if (lease === undefined || performance.now() >= lease.endsAtMs) return false;
    positive('ttlMs', ttlMs);
    try {
      const answer = await keepTrying((limitMs) => this.#calls.extend(me, ttlMs, limitMs), {
        untilMs: () => lease.endsAtMs - childTimes(this.#ttlMs, 0).killBeforeEndMs,
        isWanted: () => this.#holds(lease) && !this.#signal.aborted,
        onFailure: (error, attempt) => this.#tellUnavailable(error, attempt),
      });
      if (answer.outcome === 'refused') return false;
      const { lease: extended, auditHash } = answer;
      // It may have been released, or extended by another call, in the meantime.
      if (this.#lease !== undefined && this.#holds(lease))
        this.#lease = { ...extended, endsAtMs: Math.max(this.#lease.endsAtMs, extended.endsAtMs) };
      const expiresAt = extended.expiresAt.toISOString();
      this.#events.emit({ event: 'lease.extended', ttlMs, expiresAt, auditHash });
      return true;
    } catch (error) {
      throw this.#notExtended(error, this.#lease ?? lease);
    } finally {
      if (!this.#isBusy) this.#database.disconnect();
    }
  }

  /**
   * Clears a lease that has expired without a release, and stale waiters. Calling it is optional: the next acquisition does
   * the same.
   * @returns how many leases were cleared: 0 or 1.
   */
  async cleanupExpiredLocks(): Promise<number> {
    return this.#reading(async () => (await cleanUp(this.#calls)).leases);
  }

  /** The holder and the waiters. Changes nothing, except that it applies the lock schema if it does not exist yet. */
  async status(): Promise<LockStatus> {
    return this.#reading(() => this.#calls.status(CALL_LIMIT_MS));
  }

  async #wait(waitTimeoutMs: number): Promise<WaitResult> {
    const { pollIntervalMs = 1_000 } = this.#options;
    return waitForLease(this.#calls, this.#identity, describeThisProcess(this.#command), {
      ttlMs: this.#ttlMs,
      waitTimeoutMs: waitTimeoutMs === 0 ? 0 : positive('waitTimeoutMs', waitTimeoutMs),
      pollIntervalMs: positive('pollIntervalMs', pollIntervalMs),
      listen: this.#options.listen ?? true,
      failureMemoryMs: null,
      signal: this.#signal,
      emit: this.#events.emit,
      renewIdentity: () => {
        this.#startOver();
        return this.#identity;
      },
      onLease: (lease) => {
        this.#lease = lease;
        this.#events.context.fencingToken = lease.fencingToken;
      },
    });
  }

  async #acquiring<T>(work: () => Promise<T>): Promise<T> {
    if (this.#lease !== undefined || this.#isBusy) {
      throw new MigrateLockError(
        this.#isBusy
          ? 'This MigrationLock is acquiring already.'
          : 'This MigrationLock has the lease already.',
        { code: 'LOCK_MISUSED', exit: 'internal', hint: 'Release it first, or use another instance.' },
      );
    }
    this.#isBusy = true;
    try {
      return await work();
    } catch (error) {
      // After an abort nothing is held, whatever was acquired before.
      this.#lease = undefined;
      this.#startOver();
      throw error;
    } finally {
      this.#isBusy = false;
      this.#database.disconnect();
    }
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      const applied = await ensureSchema(this.#database, this.#calls.schema);
      if (applied !== null) this.#events.emit({ event: 'schema.applied', ...applied });
      return await read();
    } catch (error) {
      throw explain(error, this.#database.description, this.#calls.schema);
    } finally {
      if (!this.#isBusy) this.#database.disconnect();
    }
  }

  #holds({ instanceId }: Lease): boolean {
    return this.#lease?.instanceId === instanceId;
  }

  #tellUnavailable(error: unknown, attempt: number): void {
    if (attempt > 1) return;
    const { message } = explain(error, this.#database.description, this.#calls.schema);
    this.#events.emit({ event: 'database.unavailable', code: errorCode(error), message, attempts: attempt });
  }

  /** A temporary error lasted too long: the database counts as unavailable. */
  #notExtended(error: unknown, { expiresAt }: Lease): MigrateLockError {
    const explained = explain(error, this.#database.description, this.#calls.schema);
    if (!mayPass(error)) return explained;
    return new MigrateLockError(`${explained.message} The lease is held until ${expiresAt.toISOString()}.`, {
      code: 'DATABASE_UNREACHABLE',
      exit: 'unreachable',
      hint: 'Stop the work before that, or call extend() again while there is time.',
      cause: error,
    });
  }

  /** An instance id is used for one acquisition only. */
  #startOver(): void {
    this.#identity = newIdentity();
    this.#events.context.instanceId = this.instanceId;
    delete this.#events.context.fencingToken;
  }
}

/** @throws the error that ended the wait without a lease. */
function leaseOrThrow(result: WaitResult): Lease {
  switch (result.outcome) {
    case 'acquired':
      return result.lease;
    case 'timed-out':
      throw result.error;
    case 'interrupted':
      throw result.reason;
    case 'settled':
      throw new Error('the library gives no run key');
  }
}
