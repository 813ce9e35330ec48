import { startChild, type ChildEvent, type RunningChild } from '../child/supervise.js';
import type { Lease } from '../lock/lease.js';
import { redactCommand } from '../redact/command.js';
import { childEnvironment } from './child-environment.js';
import type { Deadline } from './deadline.js';
import type { RunContext } from './run-context.js';
import type { HeldSignals } from './signals.js';

export interface CommandOptions {
  /** What resolveCommand() found. */
  file: string;
  lease: Pick<Lease, 'instanceId' | 'fencingToken' | 'expiresAt'>;
  /** The holders' sockets that the command may use. */
  socketList: string | undefined;
  /** Where signals wait until the command is started. */
  signals: HeldSignals;
  /** @throws when there is no time left for the command. */
  check?: () => void;
  on?: (event: ChildEvent) => void;
}

/**
 * Starts the command under a deadline that child and guard follow, and reports what happens to it.
 * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal came before that; nothing of it is left.
 */
export async function startCommand(
  context: RunContext,
  deadline: Deadline,
  { file, lease, socketList, signals, check, on }: CommandOptions,
): Promise<RunningChild> {
  const { options, mark, guard } = context;
  deadline.subscribe((times, why) => {
    // The guard counts on a clock that goes on while the machine is suspended.
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
  follow(); // it may have moved while the child was being started
  return child;
}

function report({ options, events: { emit } }: RunContext, deadline: Deadline, event: ChildEvent): void {
  const { command, args, connection, ttlMs } = options;
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
        ttlMs,
        ranMs: Math.round(event.ranMs),
        expiresInMs: leftMs(deadline.times.leaseEndsAtMs),
      });
    case 'leftover':
      return emit({ event: 'child.leftover', count: event.count });
    case 'stuck':
      return; // the lease is kept then, which has an event of its own
  }
}
