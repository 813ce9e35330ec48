import { hasControllingTerminal, terminalDelivers } from '../child/controlling-terminal.js';
import { startChild, type ChildEvent, type RunningChild } from '../child/supervise.js';
import type { SessionActivity } from '../events/events.js';
import type { Lease } from '../lock/lease.js';
import { childEnvironment } from './child-environment.js';
import type { Deadline } from './deadline.js';
import { describeProgram, type Program } from './program.js';
import type { RunContext } from './run-context.js';
import type { HeldSignals } from './signals.js';

export interface StartOptions {
  /** null: a check, before the wait for the lock. */
  lease: Pick<Lease, 'instanceId' | 'fencingToken' | 'expiresAt'> | null;
  /** false: the command may be run again before the deadline. */
  isLast?: boolean;
  /** What recovers after this command; see describePlan(). */
  recovery?: string | null;
  /** The value of MIGRATE_LOCK_SOCKET for the program. */
  socketList?: string | undefined;
  /** Signals that arrived before the program is started. */
  signals: HeldSignals;
  /** @throws when there is no time left for the program. */
  check?: () => void;
  on?: (event: ChildEvent) => void;
  /** What the program's database sessions did a moment ago; undefined: not known. */
  sessions?: () => SessionActivity[] | undefined;
}

/**
 * Starts a program, passes changes of its deadline to it, and emits its events.
 * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal arrived before that.
 */
export async function startProgram(
  context: RunContext,
  deadline: Deadline,
  program: Program,
  { lease, isLast = true, recovery = null, socketList, signals, check, on, sessions }: StartOptions,
): Promise<RunningChild> {
  const { options, mark, guard } = context;
  await guard.ready;
  signals.throwIfAny();
  check?.();
  const { file, command, args, stdio } = program;
  const env = lease === null ? options.env : childEnvironment(options.env, lease, socketList);
  const child = await startChild({
    file,
    command,
    args,
    env: { ...env, ...program.env },
    mark,
    stdio,
    timeline: deadline.times,
    killGraceMs: options.killGraceMs,
    guard,
    on: (event) => {
      if (event.type === 'exited') noteTerminalSignal(context, event.signal);
      if (event.type === 'deadline' || (event.type === 'exited' && program.kind === 'command' && isLast))
        deadline.pass();
      on?.(event);
      if (event.type === 'deadline' && lease === null) return; // the caller reports it
      report(context, deadline, program, event, { recovery, sessions: sessions?.() });
    },
  });
  const follow = (): void => void child.moveTimeline(deadline.times);
  void child.ended.then(deadline.subscribe(follow));
  follow(); // the deadline may have moved while the child was being started
  return child;
}

/** The terminal sends Ctrl-C to both processes, and the child may exit before we get the signal. */
function noteTerminalSignal({ signals }: RunContext, signal: NodeJS.Signals | null): void {
  if (signal !== null && hasControllingTerminal() && terminalDelivers(signal)) signals.noteForwarded(signal);
}

const STARTED = { command: 'child.started', recovery: 'recover.started', check: 'check.started' } as const;
const EXITED = { command: 'child.exited', recovery: 'recover.exited', check: 'check.exited' } as const;

function report(
  { options, events: { emit } }: RunContext,
  deadline: Deadline,
  program: Program,
  event: ChildEvent,
  { recovery, sessions }: { recovery: string | null; sessions: SessionActivity[] | undefined },
): void {
  const nowMs = performance.now();
  const leftMs = (atMs: number): number => Math.max(0, Math.round(atMs - nowMs));
  switch (event.type) {
    case 'started':
      return emit({
        event: STARTED[program.kind],
        childPid: event.pid,
        command: describeProgram(program, options),
        deadlineMs: leftMs(deadline.times.termAtMs),
      });
    case 'unseen':
      return emit({ event: 'child.unseen' });
    case 'exited': {
      const { exitCode, signal, durationMs } = event;
      return emit({ event: EXITED[program.kind], exitCode, signal, durationMs: Math.round(durationMs) });
    }
    case 'deadline':
      return emit({
        event: 'child.deadline',
        ttlMs: Math.round(deadline.times.leaseLastsMs),
        ranMs: Math.round(event.ranMs),
        expiresInMs: leftMs(deadline.times.leaseEndsAtMs),
        recovery,
        ...(sessions === undefined ? {} : { sessions }),
      });
    case 'leftover':
      return emit({ event: 'child.leftover', count: event.count });
    case 'stuck':
      return; // reported by `lease.kept`
  }
}
