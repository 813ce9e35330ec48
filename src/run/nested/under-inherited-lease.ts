import type { ChildEnd } from '../../child/supervise.js';
import { explain } from '../../db/explain.js';
import { MigrateLockError } from '../../errors.js';
import { sendToHolder } from '../holder/holder-client.js';
import type {
  Requester,
  HeldLease,
  HolderAnswer,
  HolderRequest,
  HolderSocket,
} from '../holder/holder-socket.js';
import { confirmLease, type InheritedLease, type OuterLease } from './inherit.js';
import { ANSWER_BEFORE_MS, notGiven, TRYING } from '../holder/holder-answer.js';
import { keepTrying } from '../../lock/keep-trying.js';
import type { RunContext } from '../run-context.js';
import { Deadline, type Times } from '../deadline.js';
import type { Program } from '../program.js';
import { startProgram } from '../start-program.js';
import { GIVE_UP_SIGNALS } from '../signals.js';
import { readSocketList, writeSocketList } from '../holder/socket-list.js';
import { Turns } from '../holder/turns.js';

/** Runs programs under the lease of an outer run, with the deadline that the lease already has. */
export class UnderInheritedLease {
  readonly #turns = new Turns();
  readonly #deadline: Deadline;
  #lease: OuterLease;
  /** Resolves when the last announced extension was checked against the database. */
  #followed: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly context: RunContext,
    private readonly inherited: InheritedLease,
    private readonly socket: HolderSocket,
  ) {
    this.#lease = inherited.lease;
    this.#deadline = new Deadline(timesOf(inherited.lease));
    context.guard.moveDeadline(this.#deadline.times.guardKillAtMs);
    this.#deadline.subscribe(({ guardKillAtMs }, why) => {
      // The guard's clock advances while the machine is suspended.
      if (why === 'extended') context.guard.moveDeadline(guardKillAtMs);
    });
  }

  /**
   * Starts a program and waits until its whole process tree has ended. Forwards signals to it.
   * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal came before that.
   */
  async run(program: Program): Promise<ChildEnd> {
    const { signals } = this.context;
    const held = signals.hold();
    // A signal that ended the program before ends the run.
    signals.throwIfForwarded();
    let isStuck = false;
    const child = await startProgram(this.context, this.#deadline, program, {
      lease: this.#lease,
      socketList: this.#socketList(),
      signals: held,
      on: (event) => {
        if (event.type !== 'stuck') return;
        // Processes that cannot be ended are alive: with our turn, the next inner run would start beside them.
        isStuck = true;
        child.watchUntil(this.#lease.endsAtMs);
      },
    });
    this.inherited.watch(
      (described, describedAtMs) => void this.#follow(described, describedAtMs).catch(() => undefined), // on failure the deadline stays
      () => {
        // The outer run does not hold the lease for us any more.
        this.#deadline.pass();
        child.stop('lost');
      },
    );
    held.routeTo((signal) => {
      if (isStuck && GIVE_UP_SIGNALS.has(signal)) return child.watchUntil(performance.now());
      signals.noteForwarded(signal);
      child.forward(signal);
    });
    return child.ended;
  }

  /** No other program is started: the lease is not extended any more. */
  close(): void {
    this.#deadline.pass();
  }

  /** Answers a request of our child. A turn is given here; a request for more time is forwarded to the outer run. */
  async answer(request: HolderRequest, requester: Requester): Promise<HolderAnswer> {
    if (request.request === 'extend') return this.#extend(request, requester);
    if (request.request === 'inherit') await this.#turns.take(requester, request.mark);
    return { ok: true, lease: this.#describe() };
  }

  async #extend(request: HolderRequest, requester: Requester): Promise<HolderAnswer> {
    try {
      const { socketPath } = this.inherited;
      const onTrying = requester.send;
      const answer = await sendToHolder(socketPath, request, { onTrying, abandoned: requester.closed });
      if (!answer.ok) return answer;
      if (await this.#follow(answer.lease, performance.now(), requester))
        return { ok: true, lease: this.#describe() };
      return { ok: false, code: 'TOO_LATE', message: 'the command has reached its deadline' };
    } catch (error) {
      if (error instanceof MigrateLockError) {
        return { ok: false, code: error.code, message: error.message.replace(/\.$/, '') };
      }
      return notGiven(error, this.context.calls, this.#lease.expiresAt);
    }
  }

  /**
   * Moves the child's deadline after the outer run has extended the lease, if the database confirms it.
   * @returns whether it was moved.
   * @throws the error of the database, when it lasted until our deadline.
   */
  #follow(described: HeldLease, describedAtMs: number, requester?: Requester): Promise<boolean> {
    const follow = this.#followed.then(() => this.#moveDeadline(described, describedAtMs, requester));
    this.#followed = follow.catch(() => false);
    return follow;
  }

  async #moveDeadline(described: HeldLease, describedAtMs: number, requester?: Requester): Promise<boolean> {
    const { calls } = this.context;
    const confirm = (limitMs: number) => confirmLease(calls, described, describedAtMs, limitMs);
    const lease = await keepTrying(confirm, {
      untilMs: () => this.#deadline.times.termAtMs - ANSWER_BEFORE_MS,
      isWanted: () => !this.#deadline.isPassed,
      onFailure: (error) => {
        const { message } = explain(error, calls.database.description, calls.schema);
        requester?.send({ ok: false, code: TRYING, message });
      },
    });
    if (lease === undefined || !this.#deadline.extend(timesOf(lease))) return false;
    this.#lease = lease;
    this.#turns.notify({ ok: true, lease: this.#describe() });
    return true;
  }

  #describe(): HeldLease {
    const { schema, instanceId, fencingToken, dbRole, expiresAt, termAtMs, killAtMs } = this.#lease;
    const nowMs = performance.now();
    return {
      schema,
      instanceId,
      fencingToken,
      dbRole,
      expiresAt: expiresAt.toISOString(),
      termInMs: termAtMs - nowMs,
      killInMs: killAtMs - nowMs,
    };
  }

  /** Without our own socket, runs inside our command would wait for the outer run's turn, which we have. */
  #socketList(): string | undefined {
    const outer = readSocketList(this.context.options.env);
    if (this.socket.path !== undefined) return writeSocketList(this.socket.path, outer);
    return writeSocketList(
      undefined,
      outer.map((path) => (path === this.inherited.socketPath ? '' : path)),
    );
  }
}

function timesOf({ termAtMs, killAtMs, endsAtMs, lastsMs }: OuterLease): Times {
  return { termAtMs, killAtMs, guardKillAtMs: killAtMs, leaseEndsAtMs: endsAtMs, leaseLastsMs: lastsMs };
}
