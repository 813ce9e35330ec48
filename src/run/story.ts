import { resolveCommand } from '../child/resolve-command.js';
import type { ChildEnd } from '../child/supervise.js';
import { hasControllingTerminal, terminalDelivers } from '../child/terminal.js';
import { giveBack, type GiveBackOutcome } from '../lock/give-back.js';
import type { EndDetails, WorkResult } from '../lock/calls.js';
import { newIdentity, type Identity, type Lease } from '../lock/lease.js';
import { RunSettled } from '../lock/run-settled.js';
import { waitForLease } from '../lock/wait.js';
import { describeRun } from './describe-run.js';
import {
  makeHolderSocket,
  type Asker,
  type HolderAnswer,
  type HolderRequest,
  type HolderSocket,
} from './holder/holder-socket.js';
import { writeCrashRelease } from './crash-release.js';
import { findOuterRun, runNested } from './nested/nested-run.js';
import { resultOfWork, tellSkipped } from './once.js';
import { decideOutcome, type RunResult } from './outcome.js';
import type { RunContext } from './run-context.js';
import { Interrupted } from './signals.js';
import type { UnderInheritedLease } from './nested/under-inherited-lease.js';
import { UnderLease } from './under-lease.js';

/** The one story: find out whether there is anything to do, acquire the lease or wait for it, run the child, release. */
export class Story {
  #socketPath: string | undefined;
  #under: UnderLease | UnderInheritedLease | undefined;

  constructor(
    private readonly context: RunContext,
    private me: Identity,
  ) {}

  /** @throws what stood in the way; see tellFailure(). */
  async play(): Promise<RunResult> {
    const { options, router, events } = this.context;
    const file = resolveCommand(options.command, options.env, options.cwd);
    const interrupt = new AbortController();
    const { signal } = interrupt;
    router.routeTo((came) => interrupt.abort(new Interrupted(came)));
    // While the server makes a session for us: what the child will need.
    const socket = await this.#makeSocket();
    try {
      if (socket.path === undefined) events.emit({ event: 'socket.absent', reason: socket.problem });
      const askedAtMs = performance.now();
      const outer = await findOuterRun(this.context, signal);
      const waitTimeoutMs = Math.max(0, Math.round(options.waitTimeoutMs - (performance.now() - askedAtMs)));
      if (outer === undefined) {
        const lease = await this.#wait(waitTimeoutMs, signal);
        return await this.#runChild(file, lease, socket, signal);
      }
      const onUnder = (under: UnderInheritedLease): void => void (this.#under = under);
      return await runNested(this.context, file, outer, socket, { waitTimeoutMs, signal, onUnder });
    } catch (error) {
      if (!(error instanceof RunSettled)) throw error;
      return tellSkipped(error.run, this.context);
    } finally {
      socket.close();
    }
  }

  /** The guard knows of its folder before it has anything in it. */
  async #makeSocket(): Promise<HolderSocket> {
    const socket = await makeHolderSocket(
      this.context.options.env,
      (request, asker) => this.#answer(request, asker),
      (path) => {
        this.#socketPath = path;
        this.#prepareGuard();
      },
    );
    this.#socketPath = socket.path;
    if (socket.path === undefined) this.#prepareGuard();
    return socket;
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
      crashRelease: writeCrashRelease(
        this.context.options.connection,
        this.context.calls,
        this.context.mark,
        this.me,
        null,
        this.#socketPath,
      ),
    });
  }

  #renewIdentity(): Identity {
    this.me = newIdentity();
    this.context.events.context.instanceId = this.me.instanceId;
    this.#prepareGuard();
    return this.me;
  }

  #wait(waitTimeoutMs: number, signal: AbortSignal): Promise<Lease> {
    const { ttlMs, pollIntervalMs, listen, once } = this.context.options;
    return waitForLease(this.context.calls, this.me, describeRun(this.context.options), {
      ttlMs,
      waitTimeoutMs,
      pollIntervalMs,
      listen,
      failureMemoryMs: once?.failureMemoryMs ?? null,
      signal,
      emit: this.context.events.emit,
      renewIdentity: () => this.#renewIdentity(),
      onLease: ({ fencingToken }) => (this.context.events.context.fencingToken = fencingToken),
    });
  }

  async #runChild(
    file: string,
    lease: Lease,
    socket: HolderSocket,
    interrupt: AbortSignal,
  ): Promise<RunResult> {
    const forwarded = new Set<NodeJS.Signals>();
    const under = new UnderLease(this.context, this.me, lease, socket);
    this.#under = under;
    let end: ChildEnd;
    try {
      interrupt.throwIfAborted();
      end = await under.run(file, forwarded);
    } catch (error) {
      await this.#giveBack(lease, {
        end: { reason: interrupt.aborted ? 'interrupted' : 'the command could not be started' },
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
    const work = this.context.options.once === null ? null : (resultOfWork(end, forwarded) ?? null);
    const told = { end: { exitCode, signal, reason, leftovers }, work };
    const released = await this.#giveBack(under.lease, told, (late) => forwarded.add(late));
    if (released !== 'released' && work?.succeeded === true) this.#tellNotStored();
    return decideOutcome(end, released, forwarded);
  }

  /** A signal ends the tries. It may also be one of which the child has died before we heard of it. */
  #giveBack(
    lease: Lease,
    told: { end: EndDetails; work?: WorkResult | null },
    onSignal: (signal: NodeJS.Signals) => void = () => undefined,
  ): Promise<GiveBackOutcome> {
    const enough = new AbortController();
    this.context.router.routeTo((signal) => {
      onSignal(signal);
      enough.abort(new Interrupted(signal));
    });
    return giveBack(this.context.calls, this.me, lease, {
      ...told,
      signal: enough.signal,
      emit: this.context.events.emit,
    });
  }

  /** The success of a run key is stored by the release alone. */
  #tellNotStored(): void {
    const { once } = this.context.options;
    if (once !== null) this.context.events.emit({ event: 'run.not_stored', runKey: once.runKey });
  }

  /** What could not be ended may still run: the lease is kept, and runs out. */
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
