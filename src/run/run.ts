import { hostname } from 'node:os';
import { resolveCommand } from '../child/resolve-command.js';
import { Guard } from '../child/guard.js';
import type { ChildEnd } from '../child/supervise.js';
import type { ConnectionConfig } from '../db/connection-config.js';
import { OwnDatabase } from '../db/own-database.js';
import { MigrateLockError } from '../errors.js';
import { createEventStream, type EventStream } from '../event-stream.js';
import type { EventListener } from '../events.js';
import { EXIT_CODES } from '../exit-codes.js';
import { LockCalls, type OrphanMode } from '../lock/calls.js';
import { giveBack, type GiveBackOutcome } from '../lock/give-back.js';
import { describeThisProcess, newIdentity, type Identity, type Lease } from '../lock/lease.js';
import { LockWaitTimeoutError } from '../lock/lock-wait-timeout-error.js';
import { waitForLease } from '../lock/wait.js';
import { redactCommand } from '../redact/command.js';
import { redactSecrets } from '../redact/secrets.js';
import { findOuterHolder, inheritLease } from './inherit.js';
import { writeWill } from './last-will.js';
import { decideOutcome, type RunResult } from './outcome.js';
import { Interrupted, SignalDesk, signalExitCode } from './signals.js';
import { tellOfChild } from './tell-of-child.js';
import { runUnderInheritedLease } from './under-inherited-lease.js';
import { UnderLease } from './under-lease.js';

export interface RunOptions {
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  connection: ConnectionConfig;
  schema: string;
  ttlMs: number;
  waitTimeoutMs: number;
  pollIntervalMs: number;
  killGraceMs: number;
  orphans: OrphanMode;
  /** Program and arguments by which the guard has a dead holder's lease released. */
  releaseProgram: readonly string[];
  /** Which of our descriptors the child's stdout is. */
  childStdout: 'stdout' | 'stderr';
  /** The exit code when the lock was not acquired in time. */
  conflictExitCode: number;
}

/** What the guard and its release program need of our environment: nothing that could be a secret. */
const GUARD_VARIABLES = [
  'PATH',
  'HOME',
  'LANG',
  'TZ',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/**
 * The one story: apply the schema, acquire the lease or wait for it, run the child, release.
 * @returns the exit code; never throws. Everything that happens is told to the listeners, last `run.finished`.
 */
export async function run(options: RunOptions, listeners: readonly EventListener[]): Promise<number> {
  const startedAtMs = performance.now();
  const me = newIdentity();
  const events = createEventStream(
    {
      instanceId: me.instanceId,
      host: hostname(),
      pid: process.pid,
      database: options.connection.database,
      schema: options.schema,
    },
    listeners,
  );
  const desk = new SignalDesk();
  const database = new OwnDatabase(options.connection);
  const guard = startGuard(options, me, events);
  let result: RunResult;
  try {
    const calls = new LockCalls(database, options.schema, options.orphans);
    result = await new Run(options, me.instanceId, me, events, desk, calls, guard).play();
  } catch (error) {
    result = tellFailure(error, options, events);
  } finally {
    await guard.dismiss();
    database.disconnect();
    desk.close();
  }
  const durationMs = Math.round(performance.now() - startedAtMs);
  events.emit({ event: 'run.finished', ...result, durationMs });
  return result.exitCode;
}

/** Early: it costs nothing while the database is being asked. */
function startGuard(options: RunOptions, me: Identity, { emit }: EventStream): Guard {
  let restarts = 0;
  return new Guard({
    instanceId: me.instanceId,
    releaseProgram: options.releaseProgram,
    env: Object.fromEntries(GUARD_VARIABLES.map((name) => [name, options.env[name]])),
    on: (happening) => {
      if (happening.type === 'restarted') emit({ event: 'guard.restarted', restarts: ++restarts });
      else emit({ event: 'guard.absent', reason: happening.reason });
    },
  });
}

class Run {
  constructor(
    private readonly options: RunOptions,
    /** Marks the processes of this run, for its guard too; the lease's identity may be renewed. */
    private readonly mark: string,
    private me: Identity,
    private readonly events: EventStream,
    private readonly desk: SignalDesk,
    private readonly calls: LockCalls,
    private readonly guard: Guard,
  ) {}

  async play(): Promise<RunResult> {
    const { command, env, cwd } = this.options;
    const file = resolveCommand(command, env, cwd);
    this.#prepareGuard();
    const interrupt = new AbortController();
    this.desk.handTo((signal) => interrupt.abort(new Interrupted(signal)));
    const outer = await findOuterHolder(env, this.calls);
    if (outer !== undefined) return this.#runInherited(file, outer, interrupt.signal);
    const lease = await this.#wait(interrupt.signal);
    try {
      interrupt.signal.throwIfAborted();
    } catch (error) {
      await this.#giveBack(lease, { reason: 'interrupted' });
      throw error;
    }
    return this.#runChild(file, lease);
  }

  /** A kill -9 from now on leaves neither a waiter nor, however shortly after the acquisition, a lease. */
  #prepareGuard(): void {
    this.guard.order({
      killAtMs: undefined,
      killGraceMs: this.options.killGraceMs,
      will: writeWill(this.options.connection, this.calls, this.mark, this.me, null),
    });
  }

  #renewIdentity(): Identity {
    this.me = newIdentity();
    this.events.context.instanceId = this.me.instanceId;
    this.#prepareGuard();
    return this.me;
  }

  #wait(signal: AbortSignal): Promise<Lease> {
    const { command, args, ttlMs, waitTimeoutMs, pollIntervalMs } = this.options;
    return waitForLease(this.calls, this.me, describeThisProcess(redactCommand([command, ...args])), {
      ttlMs,
      waitTimeoutMs,
      pollIntervalMs,
      signal,
      emit: this.events.emit,
      renewIdentity: () => this.#renewIdentity(),
      onLease: ({ fencingToken }) => (this.events.context.fencingToken = fencingToken),
    });
  }

  async #runChild(file: string, lease: Lease): Promise<RunResult> {
    const forwarded = new Set<NodeJS.Signals>();
    const under = new UnderLease(
      this.options,
      this.calls,
      this.mark,
      this.me,
      this.events,
      this.guard,
      lease,
    );
    let end: ChildEnd;
    try {
      end = await under.run(file, this.desk, forwarded);
    } catch (error) {
      await this.#giveBack(lease, { reason: 'the child could not be started' });
      throw error;
    }
    if (!end.gone) {
      this.#tellKept(under.lease);
      return decideOutcome(end, 'failed', forwarded);
    }
    const { exitCode, signal, reason, leftovers } = end;
    const outcome = await this.#giveBack(under.lease, { exitCode, signal, reason, leftovers });
    return decideOutcome(end, outcome, forwarded);
  }

  /** Inside another run on the same lock: it would wait for itself. */
  async #runInherited(file: string, outer: string, signal: AbortSignal): Promise<RunResult> {
    const inherited = await inheritLease(outer, this.options.waitTimeoutMs, signal);
    const { instanceId: holder, fencingToken, expiresAt } = inherited.lease;
    this.events.context.fencingToken = fencingToken;
    this.events.emit({ event: 'lock.inherited', holder, expiresAt });
    const forwarded = new Set<NodeJS.Signals>();
    try {
      const end = await runUnderInheritedLease(this.options, this.mark, file, inherited, {
        desk: this.desk,
        guard: this.guard,
        forwarded,
        on: (happening) => tellOfChild(this.events, this.options, happening, inherited.lease.termInMs),
      });
      return decideOutcome(end, end.reason === 'lost' ? 'lost' : 'released', forwarded);
    } finally {
      inherited.giveUp();
    }
  }

  #giveBack(lease: Lease, details: object): Promise<GiveBackOutcome> {
    const enough = new AbortController();
    this.desk.handTo((signal) => enough.abort(new Interrupted(signal)));
    return giveBack(this.calls, this.me, lease, { details, signal: enough.signal, emit: this.events.emit });
  }

  /** What could not be ended may still be at work: the lease is kept, and runs out. */
  #tellKept(lease: Lease): void {
    this.events.emit({
      event: 'lock.release_failed',
      code: 'CHILD_NOT_GONE',
      message: 'processes of the command could not be ended, so the lease is kept until it runs out',
      expiresAt: lease.expiresAt.toISOString(),
    });
  }
}

/** An expected failure is an `error` event (a timeout has told of itself), and an outcome. */
function tellFailure(error: unknown, options: RunOptions, events: EventStream): RunResult {
  if (error instanceof Interrupted) return { outcome: 'interrupted', exitCode: signalExitCode(error.signal) };
  if (error instanceof LockWaitTimeoutError)
    return { outcome: 'conflict', exitCode: options.conflictExitCode };
  const known = error instanceof MigrateLockError;
  const { secrets } = options.connection;
  events.emit({
    event: 'error',
    code: known ? error.code : 'INTERNAL',
    message: redactSecrets(error instanceof Error ? error.message : String(error), secrets),
    ...(known ? { hint: redactSecrets(error.hint, secrets) } : {}),
  });
  if (known && error.exitCode === EXIT_CODES.deadline.code)
    return { outcome: 'deadline', exitCode: error.exitCode };
  return { outcome: 'error', exitCode: known ? error.exitCode : EXIT_CODES.internal.code };
}
