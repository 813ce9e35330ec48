import { alarm } from '../child/alarm.js';
import type { ChildEnd, RunningChild } from '../child/supervise.js';
import { errorCode } from '../db/classify.js';
import { explain } from '../db/explain.js';
import { MigrateLockError } from '../errors.js';
import type { SessionActivity } from '../events/events.js';
import type { ExtendAnswer } from '../lock/answers.js';
import { assertLease } from '../lock/assert-lease.js';
import type { Lease } from '../lock/lease.js';
import { formatDuration } from '../text/duration.js';
import { Deadline, timesUnder, type Times } from './deadline.js';
import { ANSWER_BEFORE_MS, notGiven, TRYING } from './holder/holder-answer.js';
import { keepTrying } from '../lock/keep-trying.js';
import type {
  Requester,
  HeldLease,
  HolderAnswer,
  HolderRequest,
  HolderSocket,
} from './holder/holder-socket.js';
import { readSocketList, writeSocketList } from './holder/socket-list.js';
import { Turns } from './holder/turns.js';
import { LeaseKeeper } from './keep-lease.js';
import { orderGuard } from './crash-release.js';
import type { RunContext } from './run-context.js';
import type { Program } from './program.js';
import { describePlan } from './recovery-plan.js';
import { GIVE_UP_SIGNALS } from './signals.js';
import { startProgram } from './start-program.js';
import { watchSuspend } from './suspend.js';
import { SessionReader } from './lease-sessions.js';

/** The part of the command's time after which `lease.expiring` is emitted, so that there is time to extend the lease. */
const WARN_AFTER = 0.8;

/** When, before the command's deadline, its database sessions are read for `child.deadline`. */
const LAST_READ_MS = 1_000;

const LEASE_OVER: HolderAnswer = {
  ok: false,
  code: 'LEASE_OVER',
  message: 'the lease has ended, or another instance holds the lock',
};

/** Runs programs under a lease of this run, one after the other, and answers their requests. */
export class UnderLease {
  /** `--max-block` has cancelled or ended a session of the last try of the command. */
  isCutOff = false;
  /** A try of the command was cut off or left processes behind, and was not recovered from. */
  isUnclean = false;
  /** How many database sessions of the command `--max-block` has cancelled or ended so far. */
  cuts: () => number = () => 0;
  readonly #deadline: Deadline;
  readonly #turns = new Turns();
  /** When the lease began, on performance.now()'s clock. */
  readonly #beganAtMs: number;
  readonly #stopWatching: () => void;
  #lease: Lease;
  #child: RunningChild | undefined;
  #keeper: LeaseKeeper | undefined;
  #stopWarning: () => void = () => undefined;
  #reader: SessionReader | undefined;

  constructor(
    private readonly context: RunContext,
    lease: Lease,
    private readonly socket: HolderSocket,
    private readonly connectionsAbound: boolean,
  ) {
    this.#lease = lease;
    this.#beganAtMs = lease.endsAtMs - context.options.ttlMs;
    this.#deadline = new Deadline(this.#timesOf(lease));
    // The guard has its orders before there is a child.
    orderGuard(context, socket.path, lease, this.#deadline.times.guardKillAtMs);
    this.#deadline.subscribe(({ guardKillAtMs }, why) => {
      // The guard's clock advances while the machine is suspended.
      if (why === 'extended') context.guard.moveDeadline(guardKillAtMs);
      this.#warnInTime();
    });
    this.#stopWatching = watchSuspend((suspendedMs) => this.#deadline.resumeAfter(suspendedMs));
  }

  /** The current lease: it may have been extended. */
  get lease(): Lease {
    return { ...this.#lease, endsAtMs: this.#deadline.times.leaseEndsAtMs };
  }

  /** When the command is ended, on performance.now()'s clock. */
  get termAtMs(): number {
    return this.#deadline.times.termAtMs;
  }

  /** Why the lease could not be extended for processes that cannot be ended. */
  get keepFailure(): string | undefined {
    return this.#keeper?.failure;
  }

  /**
   * Starts a program and waits until its whole process tree has ended. Forwards signals to it.
   * @param isLast false: the command may be run again, so its exit is not the end of its time.
   * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal arrived before that.
   */
  async run(program: Program, isLast = true): Promise<ChildEnd> {
    const { options, signals } = this.context;
    const held = signals.hold();
    // A signal that ended the program before ends the run.
    signals.throwIfForwarded();
    try {
      // From now on a signal is for this program. Its processes, too, may be some that cannot be ended.
      await this.#keeper?.stop();
      this.#keeper = undefined;
      if (this.#child !== undefined) await this.#assertLease();
      const child = await startProgram(this.context, this.#deadline, program, {
        isLast,
        lease: this.#lease,
        recovery: describePlan(options),
        socketList: writeSocketList(this.socket.path, readSocketList(options.env)),
        signals: held,
        check: () => this.#refuseLateStart(),
        sessions: () => this.#reader?.lastSeen(),
        on: (event) => {
          if (event.type === 'exited') this.#stopWarning();
          if (event.type === 'stuck') this.#keepFor(event.reason);
        },
      });
      this.#child = child;
      this.#warnInTime();
      held.routeTo((signal) => {
        if (this.#keeper !== undefined && GIVE_UP_SIGNALS.has(signal)) return this.#keeper.giveUp();
        signals.noteForwarded(signal);
        child.forward(signal);
      });
      return await child.ended;
    } finally {
      this.#stopWarning();
    }
  }

  /** The program before can have taken long, and `unlock` can have ended the lease. */
  async #assertLease(): Promise<void> {
    const { calls } = this.context;
    try {
      await assertLease(calls, this.#lease);
    } finally {
      // The next program may need the connection.
      calls.database.disconnect();
    }
  }

  /** No other program is started: the lease is not extended any more. */
  async close(): Promise<void> {
    this.#deadline.pass();
    await this.#keeper?.stop();
    this.#stopWatching();
  }

  /** If this process was stopped after it sent the acquisition, another instance may hold the lock by now. */
  #refuseLateStart(): void {
    if (!this.#deadline.isPassed) return;
    const { ttlMs } = this.context.options;
    throw new MigrateLockError(
      `the lease of ${formatDuration(ttlMs)} was used up before the command could be started, so it was not started`,
      {
        code: 'LEASE_NOT_HELD',
        exit: 'deadline',
        hint: 'Run it again; if the database is slow to answer, with a longer --ttl.',
      },
    );
  }

  /** Extends the lease for processes that cannot be ended, so that no other run starts beside them. */
  #keepFor(reason: ChildEnd['reason']): void {
    const child = this.#child;
    if (child === undefined) return;
    const { calls, me, options, events } = this.context;
    this.#keeper ??= new LeaseKeeper({
      calls,
      me,
      ttlMs: options.ttlMs,
      onlyOnce: reason === 'exited',
      lease: () => this.lease,
      onExtended: (lease) => {
        this.#lease = lease;
        this.#deadline.keepLease(lease.endsAtMs);
      },
      survivors: () => child.survivors(),
      watchUntil: (untilMs) => child.watchUntil(untilMs),
      emit: events.emit,
    });
  }

  /** Answers a request of the command. */
  async answer(request: HolderRequest, requester: Requester): Promise<HolderAnswer> {
    if (request.request === 'extend') return this.#extend(request.ttlMs, requester);
    if (request.request === 'inherit') await this.#turns.take(requester, request.mark);
    return { ok: true, lease: this.#describe() };
  }

  #describe(): HeldLease {
    const nowMs = performance.now();
    const { termAtMs, killAtMs } = this.#deadline.times;
    return {
      schema: this.context.calls.schema,
      instanceId: this.#lease.instanceId,
      fencingToken: this.#lease.fencingToken,
      dbRole: this.#lease.dbRole,
      expiresAt: this.#lease.expiresAt.toISOString(),
      termInMs: termAtMs - nowMs,
      killInMs: killAtMs - nowMs,
      cuts: this.context.options.maxBlockMs === null ? undefined : this.cuts(),
    };
  }

  /** The database comes first: a guard with a later deadline than the database's would kill too late. */
  async #extend(ttlMs: number, requester: Requester): Promise<HolderAnswer> {
    const { calls, me, events } = this.context;
    if (this.#deadline.isPassed) return this.#tooLate();
    let isWanted = true;
    void requester.closed.then(() => (isWanted = false));
    let answer: ExtendAnswer;
    try {
      answer = await keepTrying((limitMs) => calls.extend(me, ttlMs, limitMs), {
        untilMs: () => this.#deadline.times.termAtMs - ANSWER_BEFORE_MS,
        isWanted: () => isWanted && !this.#deadline.isPassed,
        onFailure: (error, attempt) => this.#reportTrying(error, attempt, requester),
      });
    } catch (error) {
      return notGiven(error, calls, this.#lease.expiresAt);
    } finally {
      // Behind a pooler, a kept session may be one that the command needs.
      if (!calls.database.isDirect) calls.database.disconnect();
    }
    if (answer.outcome === 'refused') return LEASE_OVER;
    const endsAtMs = Math.max(this.lease.endsAtMs, answer.lease.endsAtMs);
    const lease = { ...answer.lease, endsAtMs };
    if (!this.#deadline.extend(this.#timesOf(lease))) return this.#tooLate();
    this.#lease = lease;
    const expiresAt = lease.expiresAt.toISOString();
    events.emit({ event: 'lease.extended', ttlMs, expiresAt, auditHash: answer.auditHash });
    const described: HolderAnswer = { ok: true, lease: this.#describe() };
    this.#turns.notify(described);
    return described;
  }

  #timesOf({ endsAtMs }: Lease): Times {
    return timesUnder(endsAtMs, endsAtMs - this.#beganAtMs, this.context.options);
  }

  /** The refusal after the command's deadline, which comes before the lease's end. */
  #tooLate(): HolderAnswer {
    if (performance.now() >= this.lease.endsAtMs) return LEASE_OVER;
    return { ok: false, code: 'TOO_LATE', message: 'the command has reached its deadline' };
  }

  #reportTrying(error: unknown, attempt: number, requester: Requester): void {
    const { calls, events } = this.context;
    const { message } = explain(error, calls.database.description, calls.schema);
    requester.send({ ok: false, code: TRYING, message });
    if (attempt > 1) return;
    events.emit({ event: 'database.unavailable', code: errorCode(error), message, attempts: attempt });
  }

  #warnInTime(): void {
    this.#stopWarning();
    const { termAtMs, leaseEndsAtMs } = this.#deadline.times;
    const hasMs = termAtMs - (leaseEndsAtMs - this.context.options.ttlMs);
    const warnAtMs = termAtMs - hasMs * (1 - WARN_AFTER);
    const enough = new AbortController();
    const readAgain = (): void => void this.#readSessions(termAtMs, enough.signal);
    const stopAlarms = [
      alarm(warnAtMs, () => void this.#warn(termAtMs, enough.signal)),
      alarm(Math.max(warnAtMs, termAtMs - LAST_READ_MS), readAgain),
    ];
    this.#stopWarning = () => {
      for (const stop of stopAlarms) stop();
      enough.abort();
    };
  }

  async #warn(termAtMs: number, enough: AbortSignal): Promise<void> {
    const reading = this.#readSessions(termAtMs, enough);
    const sessions = reading === undefined ? undefined : await reading;
    if (enough.aborted) return;
    const nowMs = performance.now();
    const times = this.#deadline.times;
    this.context.events.emit({
      event: 'lease.expiring',
      expiresInMs: Math.max(0, Math.round(times.leaseEndsAtMs - nowMs)),
      deadlineMs: Math.max(0, Math.round(times.termAtMs - nowMs)),
      canExtend: this.socket.path !== undefined,
      ...(sessions === undefined ? {} : { sessions }),
    });
  }

  /** undefined: they are not read. Never fails, and ends before the command's deadline. */
  #readSessions(termAtMs: number, enough: AbortSignal): Promise<SessionActivity[] | undefined> | undefined {
    if (!this.connectionsAbound) return undefined;
    const { options } = this.context;
    this.#reader ??= new SessionReader(options.connection, options.schema, this.#lease.instanceId);
    return this.#reader.read(termAtMs, enough);
  }
}
