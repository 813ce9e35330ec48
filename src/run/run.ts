import { hostname } from 'node:os';
import { resolveCommand } from '../child/resolve-command.js';
import { startChild, type ChildEnd, type ChildHappening } from '../child/supervise.js';
import type { ConnectionConfig } from '../db/connection-config.js';
import { OwnDatabase } from '../db/database.js';
import { MigrateLockError } from '../errors.js';
import { createEventStream, type EventStream } from '../event-stream.js';
import type { EventListener } from '../events.js';
import { EXIT_CODES } from '../exit-codes.js';
import { LockCalls } from '../lock/calls.js';
import { giveBack, type GiveBackOutcome } from '../lock/give-back.js';
import { describeThisProcess, newIdentity, type Identity, type Lease } from '../lock/lease.js';
import { LockWaitTimeoutError } from '../lock/lock-wait-timeout-error.js';
import { waitForLease } from '../lock/wait.js';
import { redactCommand } from '../redact/command.js';
import { redactSecrets } from '../redact/secrets.js';
import { childEnvironment } from './child-environment.js';
import { decideOutcome, type RunResult } from './outcome.js';
import { Interrupted, SignalDesk, signalExitCode } from './signals.js';
import { childTimes } from './timeline.js';

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
  /** Which of our descriptors the child's stdout is. */
  childStdout: 'stdout' | 'stderr';
  /** The exit code when the lock was not acquired in time. */
  conflictExitCode: number;
}

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
  let result: RunResult;
  try {
    result = await new Run(options, me, events, desk, new LockCalls(database, options.schema)).play();
  } catch (error) {
    result = tellFailure(error, options, events);
  } finally {
    database.disconnect();
    desk.close();
  }
  const durationMs = Math.round(performance.now() - startedAtMs);
  events.emit({ event: 'run.finished', ...result, durationMs });
  return result.exitCode;
}

class Run {
  constructor(
    private readonly options: RunOptions,
    private readonly me: Identity,
    private readonly events: EventStream,
    private readonly desk: SignalDesk,
    private readonly calls: LockCalls,
  ) {}

  async play(): Promise<RunResult> {
    const { command, env, cwd } = this.options;
    const file = resolveCommand(command, env, cwd);
    const interrupt = new AbortController();
    this.desk.handTo((signal) => interrupt.abort(new Interrupted(signal)));
    const lease = await this.#wait(interrupt.signal);
    try {
      interrupt.signal.throwIfAborted();
    } catch (error) {
      await this.#giveBack(lease, { reason: 'interrupted' });
      throw error;
    }
    return this.#runChild(file, lease);
  }

  #wait(signal: AbortSignal): Promise<Lease> {
    const { command, args, ttlMs, waitTimeoutMs, pollIntervalMs } = this.options;
    return waitForLease(this.calls, this.me, describeThisProcess(redactCommand([command, ...args])), {
      ttlMs,
      waitTimeoutMs,
      pollIntervalMs,
      signal,
      emit: this.events.emit,
      onLease: ({ fencingToken }) => (this.events.context.fencingToken = fencingToken),
    });
  }

  async #runChild(file: string, lease: Lease): Promise<RunResult> {
    const { command, args, env, ttlMs, killGraceMs, childStdout } = this.options;
    const { termBeforeEndMs, killBeforeEndMs } = childTimes(ttlMs, killGraceMs);
    const forwarded = new Set<NodeJS.Signals>();
    const early: NodeJS.Signals[] = [];
    this.desk.handTo((signal) => early.push(signal));
    let end: ChildEnd;
    try {
      const child = await startChild({
        file,
        command,
        args,
        env: childEnvironment(env, lease),
        instanceId: this.me.instanceId,
        stdio: [0, childStdout === 'stdout' ? 1 : 2, 2],
        timeline: { termAtMs: lease.endsAtMs - termBeforeEndMs, killAtMs: lease.endsAtMs - killBeforeEndMs },
        killGraceMs,
        on: (happening) => this.#tellOfChild(happening, lease),
      });
      const forward = (signal: NodeJS.Signals): void => {
        forwarded.add(signal);
        child.forward(signal);
      };
      early.forEach(forward);
      this.desk.handTo(forward);
      end = await child.ended;
    } catch (error) {
      await this.#giveBack(lease, { reason: 'the child could not be started' });
      throw error;
    }
    const { exitCode, signal, reason, leftovers } = end;
    if (!end.gone) {
      this.#tellKept(lease);
      return decideOutcome(end, 'failed', forwarded);
    }
    const outcome = await this.#giveBack(lease, { exitCode, signal, reason, leftovers });
    return decideOutcome(end, outcome, forwarded);
  }

  #giveBack(lease: Lease, details: object): Promise<GiveBackOutcome> {
    const enough = new AbortController();
    this.desk.handTo((signal) => enough.abort(new Interrupted(signal)));
    return giveBack(this.calls, this.me, lease, { details, signal: enough.signal, emit: this.events.emit });
  }

  #tellOfChild(happening: ChildHappening, lease: Lease): void {
    const { command, args, ttlMs, killGraceMs } = this.options;
    const { emit } = this.events;
    switch (happening.type) {
      case 'started':
        return emit({
          event: 'child.started',
          childPid: happening.pid,
          command: redactCommand([command, ...args]),
          deadlineMs: Math.round(
            lease.endsAtMs - childTimes(ttlMs, killGraceMs).termBeforeEndMs - performance.now(),
          ),
        });
      case 'exited': {
        const { exitCode, signal, durationMs } = happening;
        return emit({ event: 'child.exited', exitCode, signal, durationMs: Math.round(durationMs) });
      }
      case 'deadline':
        return emit({ event: 'child.deadline', ttlMs, ranMs: Math.round(happening.ranMs) });
      case 'leftover':
        return emit({ event: 'child.leftover', count: happening.count });
    }
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
  return { outcome: 'error', exitCode: known ? error.exitCode : EXIT_CODES.internal.code };
}
