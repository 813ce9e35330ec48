import { startChild, type ChildEvent, type RunningChild } from '../child/supervise.js';
import type { Lease } from '../lock/lease.js';
import { redactCommand } from '../redact/command.js';
import { childEnvironment } from './child-environment.js';
import type { Deadline } from './deadline.js';
import type { RunContext } from './run-context.js';
import type { HeldSignals } from './signals.js';

export interface CommandOptions {
  /** The result of resolveCommand(). */
  file: string;
  lease: Pick<Lease, 'instanceId' | 'fencingToken' | 'expiresAt'>;
  /** The value of MIGRATE_LOCK_SOCKET for the command. */
  socketList: string | undefined;
  /** Signals that arrived before the command is started. */
  signals: HeldSignals;
  /** @throws when there is no time left for the command. */
  check?: () => void;
  on?: (event: ChildEvent) => void;
}

/**
 * Starts the command, passes changes of its deadline to child and guard, and emits its events.
 * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal arrived before that.
 */
export async function startCommand(
  context: RunContext,
  deadline: Deadline,
  { file, lease, socketList, signals, check, on }: CommandOptions,
): Promise<RunningChild> {
  const { options, mark, guard } = context;
  deadline.subscribe((times, why) => {
    // The guard's clock advances while the machine is suspended.
    if (why === 'extended') guard.moveDeadline(times.guardKillAtMs);
  });
  await guard.ready;
  signals.throwIfAny();
  check?.();
  const child = await startChild({
    file,
    command: options.command,
    args: options.args,
    env: childEnvironment(options.env, lease, socketList),
    mark,
    stdio: [0, options.childStdout === 'stdout' ? 1 : 2, 2],
    timeline: deadline.times,
    killGraceMs: options.killGraceMs,
    guard,
    on: (event) => {
      if (event.type === 'exited' || event.type === 'deadline') deadline.pass();
      on?.(event);
      report(context, deadline, event);
    },
  });
  const follow = (): void => void child.moveTimeline(deadline.times);
  deadline.subscribe(follow);
  follow(); // the deadline may have moved while the child was being started
  return child;
}

function report({ options, events: { emit } }: RunContext, deadline: Deadline, event: ChildEvent): void {
  const { command, args, connection } = options;
  const nowMs = performance.now();
  const leftMs = (atMs: number): number => Math.max(0, Math.round(atMs - nowMs));
  switch (event.type) {
    case 'started':
      return emit({
        event: 'child.started',
        childPid: event.pid,
        command: redactCommand([command, ...args], connection.secrets),
        deadlineMs: leftMs(deadline.times.termAtMs),
      });
    case 'unseen':
      return emit({ event: 'child.unseen' });
    case 'exited': {
      const { exitCode, signal, durationMs } = event;
      return emit({ event: 'child.exited', exitCode, signal, durationMs: Math.round(durationMs) });
    }
    case 'deadline':
      return emit({
        event: 'child.deadline',
        ttlMs: Math.round(deadline.times.leaseLastsMs),
        ranMs: Math.round(event.ranMs),
        expiresInMs: leftMs(deadline.times.leaseEndsAtMs),
      });
    case 'leftover':
      return emit({ event: 'child.leftover', count: event.count });
    case 'stuck':
      return; // reported by `lease.kept`
  }
}
