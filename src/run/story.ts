import { resolveCommand } from '../child/resolve-command.js';
import type { ChildEnd } from '../child/supervise.js';
import { hasControllingTerminal, terminalDelivers } from '../child/terminal.js';
import { giveBack, type GiveBackOutcome } from '../lock/give-back.js';
import { describeThisProcess, newIdentity, type Identity, type Lease } from '../lock/lease.js';
import { RunSettled } from '../lock/run-settled.js';
import { waitForLease } from '../lock/wait.js';
import { redactCommand } from '../redact/command.js';
import {
  makeHolderSocket,
  type Asker,
  type HolderAnswer,
  type HolderRequest,
  type HolderSocket,
} from './holder-socket.js';
import { findOuterHolder, inheritLease } from './inherit.js';
import { writeWill } from './last-will.js';
import { resultOfWork, tellSkipped } from './once.js';
import { decideOutcome, type RunResult } from './outcome.js';
import type { RunContext } from './run-context.js';
import { Interrupted } from './signals.js';
import { runUnderInheritedLease } from './under-inherited-lease.js';
import { UnderLease } from './under-lease.js';

/** The one story: find out whether there is anything to do, acquire the lease or wait for it, run the child, release. */
export class Story {
  #socket: HolderSocket | undefined;
  #under: UnderLease | undefined;

  constructor(
    private readonly context: RunContext,
    private me: Identity,
  ) {}

  /** @throws what stood in the way; see tellFailure(). */
  async play(): Promise<RunResult> {
    const { options, desk, calls } = this.context;
    const file = resolveCommand(options.command, options.env, options.cwd);
    // While the server makes a session for us: what the child will need.
    this.#socket = makeHolderSocket((request, asker) => this.#answer(request, asker));
    this.#prepareGuard();
    const interrupt = new AbortController();
    desk.handTo((signal) => interrupt.abort(new Interrupted(signal)));
    try {
      const outer = await findOuterHolder(options.env, calls);
      if (outer !== undefined) return await this.#runInherited(file, outer, interrupt.signal);
      const lease = await this.#wait(interrupt.signal);
      return await this.#runChild(file, lease, interrupt.signal);
    } catch (error) {
      if (!(error instanceof RunSettled)) throw error;
      return tellSkipped(error.run, this.context);
    } finally {
      this.#socket.close();
    }
  }

  #answer(request: HolderRequest, asker: Asker): Promise<HolderAnswer> {
    if (this.#under !== undefined) return this.#under.answer(request, asker);
    return Promise.resolve({ ok: false, code: 'NO_LEASE', message: 'there is no lease yet' });
  }

  /** A kill -9 from now on leaves neither a waiter nor, however shortly after the acquisition, a lease. */
  #prepareGuard(): void {
    this.context.guard.order({
      killAtMs: undefined,
      killGraceMs: this.context.options.killGraceMs,
      will: writeWill(
        this.context.options.connection,
        this.context.calls,
        this.context.mark,
        this.me,
        null,
        this.#socket?.path,
      ),
    });
  }

  #renewIdentity(): Identity {
    this.me = newIdentity();
    this.context.events.context.instanceId = this.me.instanceId;
    this.#prepareGuard();
    return this.me;
  }

  #wait(signal: AbortSignal): Promise<Lease> {
    const { command, args, connection, ttlMs, waitTimeoutMs, pollIntervalMs, listen, once } =
      this.context.options;
    const client = describeThisProcess(redactCommand([command, ...args], connection.secrets), once?.runKey);
    return waitForLease(this.context.calls, this.me, client, {
      ttlMs,
      waitTimeoutMs,
      pollIntervalMs,
      listen,
      failureMemoryMs: once?.failureMemoryMs ?? null,
      signal,
      emit: this.context.events.emit,
      renewIdentity: () => this.#renewIdentity(),
      releasesHere: true,
      onLease: ({ fencingToken }) => (this.context.events.context.fencingToken = fencingToken),
    });
  }

  async #runChild(file: string, lease: Lease, interrupt: AbortSignal): Promise<RunResult> {
    const forwarded = new Set<NodeJS.Signals>();
    const under = new UnderLease(this.context, this.me, lease, this.#socket);
    this.#under = under;
    let end: ChildEnd;
    try {
      interrupt.throwIfAborted();
      end = await under.run(file, forwarded);
    } catch (error) {
      await this.#giveBack(lease, {
        reason: interrupt.aborted ? 'interrupted' : 'the child could not be started',
      });
      throw error;
    }
    if (!end.gone) {
      this.#tellKept(under.lease, under.keepFailure);
      if (end.exitCode === 0 && end.reason === 'exited') this.#tellNotStored();
      return decideOutcome(end, 'failed', forwarded);
    }
    const { exitCode, signal, reason, leftovers } = end;
    // Ctrl-C goes to both of us: on a busy machine the child has died of it, and the lease is released, before we hear of it.
    if (signal !== null && hasControllingTerminal() && terminalDelivers(signal)) forwarded.add(signal);
    const run = this.context.options.once === null ? undefined : resultOfWork(end, forwarded);
    const details = { exitCode, signal, reason, leftovers, ...(run === undefined ? {} : { run }) };
    const released = await this.#giveBack(under.lease, details, (late) => forwarded.add(late));
    if (released !== 'released' && run?.succeeded === true) this.#tellNotStored();
    return decideOutcome(end, released, forwarded);
  }

  /** Inside another run on the same lock: it would wait for itself. */
  async #runInherited(file: string, outer: string, signal: AbortSignal): Promise<RunResult> {
    const { options } = this.context;
    const { once } = options;
    if (once !== null) {
      const look = await this.context.calls.look(once.runKey, once.failureMemoryMs).catch(() => null);
      if (look?.run != null) throw new RunSettled(look.run);
    }
    const inherited = await inheritLease(outer, options.waitTimeoutMs, signal);
    const { instanceId: holder, fencingToken, expiresAt } = inherited.lease;
    this.context.events.context.fencingToken = fencingToken;
    this.context.events.emit({ event: 'lock.inherited', holder, expiresAt });
    const forwarded = new Set<NodeJS.Signals>();
    try {
      const end = await runUnderInheritedLease(this.context, file, inherited, forwarded);
      return decideOutcome(end, end.reason === 'lost' ? 'lost' : 'released', forwarded);
    } finally {
      inherited.giveUp();
    }
  }

  /** A signal ends the tries. It may also be one of which the child has died before we heard of it. */
  #giveBack(
    lease: Lease,
    details: object,
    onSignal: (signal: NodeJS.Signals) => void = () => undefined,
  ): Promise<GiveBackOutcome> {
    const enough = new AbortController();
    this.context.desk.handTo((signal) => {
      onSignal(signal);
      enough.abort(new Interrupted(signal));
    });
    return giveBack(this.context.calls, this.me, lease, {
      details,
      signal: enough.signal,
      emit: this.context.events.emit,
    });
  }

  /** The success of a run key is stored by the release alone. */
  #tellNotStored(): void {
    const { once } = this.context.options;
    if (once !== null) this.context.events.emit({ event: 'run.not_stored', runKey: once.runKey });
  }

  /** What could not be ended may still be at work: the lease is kept, and runs out. */
  #tellKept(lease: Lease, failure: string | undefined): void {
    this.context.events.emit({
      event: 'lock.release_failed',
      code: 'CHILD_NOT_GONE',
      message:
        'processes of the command could not be ended, so the lease is kept until it runs out' +
        (failure === undefined ? '' : `; it could not be extended: ${failure}`),
      expiresAt: lease.expiresAt.toISOString(),
    });
  }
}
