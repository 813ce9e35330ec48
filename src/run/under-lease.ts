import { alarm } from '../child/alarm.js';
import type { Guard } from '../child/guard.js';
import { startChild, type ChildEnd, type RunningChild } from '../child/supervise.js';
import { errorCode } from '../db/classify.js';
import { explain } from '../db/explain.js';
import type { EventStream } from '../events/event-stream.js';
import type { ExtendAnswer } from '../lock/answers.js';
import type { LockCalls } from '../lock/calls.js';
import type { Identity, Lease } from '../lock/lease.js';
import { marginMs } from '../lock/lease-times.js';
import { childEnvironment } from './child-environment.js';
import { LeaseKeeper } from './keep-lease.js';
import { TRYING } from './holder/holder-answer.js';
import { keepTrying, notGiven } from './keep-trying.js';
import type { Asker, HeldLease, HolderAnswer, HolderRequest, HolderSocket } from './holder/holder-socket.js';
import { writeCrashRelease } from './crash-release.js';
import type { RunContext, RunOptions } from './run-context.js';
import { readSocketList, writeSocketList } from './holder/socket-list.js';
import { watchSuspend } from './suspend.js';
import { leaseUsedUp } from './lease-used-up.js';
import { tellOfChild } from './tell-of-child.js';
import { childTimes } from '../lock/lease-times.js';
import { Turns } from './holder/turns.js';

/** The part of the child's time after which people are warned that it will be over: there must be time left to extend it. */
const WARN_AFTER = 0.8;

const LEASE_OVER: HolderAnswer = {
  ok: false,
  code: 'LEASE_OVER',
  message: 'the lease is over, or somebody else has it',
};

/** What tells us to leave processes alone that cannot be ended. */
const GIVE_UP_SIGNALS = new Set<NodeJS.Signals>(['SIGINT', 'SIGTERM']);

/** Runs the child under a lease that is held: its deadline, its guard, its wishes. */
export class UnderLease {
  readonly #options: RunOptions;
  readonly #calls: LockCalls;
  readonly #events: EventStream;
  readonly #guard: Guard;
  #lease: Lease;
  #child: RunningChild | undefined;
  readonly #turns = new Turns();
  #keeper: LeaseKeeper | undefined;
  #stopWarning: () => void = () => undefined;
  /** The child and all that it started are gone, or it was never started: nobody needs more time. */
  #isOver = false;

  constructor(
    private readonly context: RunContext,
    private readonly me: Identity,
    lease: Lease,
    private readonly socket: HolderSocket,
  ) {
    const { options, calls, events, guard } = context;
    this.#options = options;
    this.#calls = calls;
    this.#events = events;
    this.#guard = guard;
    this.#lease = lease;
  }

  /** The lease as it is now: it may have been extended. */
  get lease(): Lease {
    return this.#keeper?.lease ?? this.#lease;
  }

  /** Why the lease could not be extended for processes that cannot be ended. */
  get keepFailure(): string | undefined {
    return this.#keeper?.failure;
  }

  /**
   * Starts the child and waits until its whole tree is gone. Signals are handed to it.
   * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal came before that; nothing of it is
   * left then.
   */
  async run(file: string, forwarded: Set<NodeJS.Signals>): Promise<ChildEnd> {
    const { command, args, env, killGraceMs, childStdout } = this.#options;
    const early = this.context.router.hold();
    // The guard has its orders before there is a child.
    this.#guard.order({
      killAtMs: this.#guardKillsAtMs(),
      killGraceMs,
      crashRelease: writeCrashRelease(
        this.#options.connection,
        this.#calls,
        this.context.mark,
        this.me,
        this.#lease,
        this.socket.path,
      ),
    });
    await this.#guard.ready;
    const stopWatching = watchSuspend((suspendedMs) => this.#resumedAfter(suspendedMs));
    try {
      early.throwIfAny();
      // We may have been stopped since the acquisition was sent: somebody else may have the lock by now.
      if (performance.now() >= this.#timeline().termAtMs) throw leaseUsedUp(this.#options.ttlMs);
      const child = await startChild({
        file,
        command,
        args,
        env: childEnvironment(env, this.#lease, writeSocketList(this.socket.path, readSocketList(env))),
        mark: this.context.mark,
        stdio: [0, childStdout === 'stdout' ? 1 : 2, 2],
        timeline: this.#timeline(),
        killGraceMs,
        guard: this.#guard,
        on: (event) => {
          if (event.type === 'exited') this.#stopWarning();
          if (event.type === 'stuck') this.#keepFor(event.reason);
          const nowMs = performance.now();
          tellOfChild(this.#events, this.#options, event, {
            deadlineMs: this.#timeline().termAtMs - nowMs,
            expiresInMs: this.#lease.endsAtMs - nowMs,
          });
        },
      });
      this.#child = child;
      this.#warnInTime();
      early.passTo((signal) => {
        if (this.#keeper !== undefined && GIVE_UP_SIGNALS.has(signal)) return this.#keeper.giveUp();
        forwarded.add(signal);
        child.forward(signal);
      });
      return await child.ended;
    } finally {
      this.#isOver = true;
      await this.#keeper?.stop();
      this.#stopWarning();
      stopWatching();
    }
  }

  /** Processes live on that cannot be ended: nobody else may run beside them. */
  #keepFor(reason: ChildEnd['reason']): void {
    const child = this.#child;
    if (child === undefined) return;
    this.#keeper ??= new LeaseKeeper({
      calls: this.#calls,
      me: this.me,
      lease: this.#lease,
      ttlMs: this.#options.ttlMs,
      onlyOnce: reason === 'exited',
      survivors: () => child.survivors(),
      watchUntil: (untilMs) => child.watchUntil(untilMs),
      emit: this.#events.emit,
    });
  }

  #timeline(): { termAtMs: number; killAtMs: number } {
    const { termBeforeEndMs, killBeforeEndMs } = childTimes(this.#options.ttlMs, this.#options.killGraceMs);
    return {
      termAtMs: this.#lease.endsAtMs - termBeforeEndMs,
      killAtMs: this.#lease.endsAtMs - killBeforeEndMs,
    };
  }

  #guardKillsAtMs(): number {
    return this.#lease.endsAtMs - marginMs(this.#options.ttlMs);
  }

  /** Answers what the child asks of its holder. */
  async answer(request: HolderRequest, asker: Asker): Promise<HolderAnswer> {
    if (request.request === 'extend') return this.#extend(request.ttlMs, asker);
    if (request.request === 'inherit') await this.#turns.take(asker, request.mark);
    return { ok: true, lease: this.#told() };
  }

  #told(): HeldLease {
    const nowMs = performance.now();
    const { termAtMs, killAtMs } = this.#timeline();
    return {
      schema: this.#calls.schema,
      instanceId: this.#lease.instanceId,
      fencingToken: this.#lease.fencingToken,
      dbRole: this.#lease.dbRole,
      expiresAt: this.#lease.expiresAt.toISOString(),
      termInMs: termAtMs - nowMs,
      killInMs: killAtMs - nowMs,
    };
  }

  /** The database first: a guard that knew of a later end than the database would kill too late. */
  async #extend(ttlMs: number, asker: Asker): Promise<HolderAnswer> {
    if (this.#isTooLate()) return this.#tooLate();
    let isWanted = true;
    void asker.closed.then(() => (isWanted = false));
    let answer: ExtendAnswer;
    try {
      answer = await keepTrying((limitMs) => this.#calls.extend(this.me, ttlMs, limitMs), {
        termAtMs: () => this.#timeline().termAtMs,
        isWanted: () => isWanted && !this.#isOver && this.#keeper === undefined,
        onFailure: (error, attempt) => this.#tellTrying(error, attempt, asker),
      });
    } catch (error) {
      return notGiven(error, this.#calls, this.#lease.expiresAt);
    } finally {
      // Behind a pooler a session that is kept is one that the command does not get.
      if (!this.#calls.database.isDirect) this.#calls.database.disconnect();
    }
    if (answer.outcome === 'refused') return LEASE_OVER;
    const before = this.#lease;
    this.#lease = { ...answer.lease, endsAtMs: Math.max(before.endsAtMs, answer.lease.endsAtMs) };
    if (this.#child?.moveTimeline(this.#timeline()) === false) {
      this.#lease = before;
      return this.#tooLate();
    }
    this.#guard.moveDeadline(this.#guardKillsAtMs());
    this.#warnInTime();
    const expiresAt = this.#lease.expiresAt.toISOString();
    this.#events.emit({ event: 'lease.extended', ttlMs, expiresAt, auditHash: answer.auditHash });
    const told: HolderAnswer = { ok: true, lease: this.#told() };
    this.#turns.tell(told);
    return told;
  }

  #isTooLate(): boolean {
    return this.#isOver || this.#keeper !== undefined || performance.now() >= this.#timeline().termAtMs;
  }

  /** The command has no more time, whatever the lease has. */
  #tooLate(): HolderAnswer {
    if (performance.now() >= this.#lease.endsAtMs) return LEASE_OVER;
    return { ok: false, code: 'TOO_LATE', message: 'the command has reached its deadline' };
  }

  #tellTrying(error: unknown, attempt: number, asker: Asker): void {
    const { message } = explain(error, this.#calls.database.description, this.#calls.schema);
    asker.tell({ ok: false, code: TRYING, message });
    if (attempt > 1) return;
    this.#events.emit({ event: 'database.unavailable', code: errorCode(error), message, attempts: attempt });
  }

  #warnInTime(): void {
    this.#stopWarning();
    const { termAtMs } = this.#timeline();
    const hasMs = termAtMs - (this.#lease.endsAtMs - this.#options.ttlMs);
    this.#stopWarning = alarm(termAtMs - hasMs * (1 - WARN_AFTER), () => {
      const nowMs = performance.now();
      this.#events.emit({
        event: 'lease.expiring',
        expiresInMs: Math.max(0, Math.round(this.#lease.endsAtMs - nowMs)),
        deadlineMs: Math.max(0, Math.round(this.#timeline().termAtMs - nowMs)),
        canExtend: this.socket.path !== undefined,
      });
    });
  }

  /** The machine slept: that counted for the lease, but not on our clock. What is due then is done at once. */
  #resumedAfter(suspendedMs: number): void {
    this.#lease = { ...this.#lease, endsAtMs: this.#lease.endsAtMs - suspendedMs };
    this.#keeper?.resumedAfter(suspendedMs);
    this.#child?.moveTimeline(this.#timeline());
    this.#warnInTime();
  }
}
