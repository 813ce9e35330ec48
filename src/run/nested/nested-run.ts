import { describeRun } from '../describe-run.js';
import type { HolderDescription } from '../../lock/lease.js';
import { LockWaitTimeoutError } from '../../lock/lock-wait-timeout-error.js';
import { currentHolder } from '../holder/current-holder.js';
import { findEnclosing, heldAroundUs, isAroundUs, mayBeEnclosed } from '../holder/enclosing.js';
import type { HolderSocket } from '../holder/holder-socket.js';
import { inheritLease, isSameLease, type InheritedLease } from './inherit.js';
import { reportSkipped } from '../once.js';
import { decideOutcome, type RunResult } from '../outcome.js';
import type { RunContext } from '../run-context.js';
import { UnderInheritedLease } from './under-inherited-lease.js';

/** The run that has our lock, and inside whose command we are. */
export interface OuterRun {
  /** Where to ask for a turn under its lease. */
  socketPath: string;
  holder: HolderDescription;
}

/**
 * Whether this run is inside the command of another run on the same lock, and would wait for itself. The database says who
 * holds the lock; a variable that was left over proves nothing.
 * @throws {MigrateLockError} OUTER_RUN_UNREACHABLE when that run cannot be asked.
 */
export async function findOuterRun(
  { options, calls, events }: RunContext,
  signal: AbortSignal,
): Promise<OuterRun | undefined> {
  if (!mayBeEnclosed(options.env)) return undefined;
  const holder = await currentHolder(calls, events, options.waitTimeoutMs, signal);
  if (holder === null) return undefined;
  const found = await findEnclosing(options.env, ({ instanceId }) => instanceId === holder.instanceId);
  if ('socketPath' in found) {
    // Else somebody has taken our lock under the id of the run around us, which is on another lock.
    return isSameLease(found.lease, holder, calls.schema)
      ? { socketPath: found.socketPath, holder }
      : undefined;
  }
  if (isAroundUs(holder, options.env)) throw heldAroundUs(holder, found.problems);
  return undefined;
}

/** Runs the command under the outer run's lease. */
export async function runNested(
  context: RunContext,
  file: string,
  outer: OuterRun,
  socket: HolderSocket,
  waitTimeoutMs: number,
  interrupt: AbortSignal,
): Promise<RunResult> {
  const { options, calls, events, signals, mark } = context;
  if (options.once !== null) {
    const look = await calls.look(describeRun(options), options.once.failureMemoryMs).catch(() => null);
    if (look?.run != null) return reportSkipped(look.run, context);
  }
  let inherited: InheritedLease;
  try {
    inherited = await inheritLease(outer.socketPath, calls, mark, waitTimeoutMs, interrupt);
  } catch (error) {
    if (!(error instanceof LockWaitTimeoutError)) throw error;
    reportTimeout(context, outer.holder, error.waitedMs);
    return { outcome: 'conflict', exitCode: options.conflictExitCode };
  }
  const { instanceId: holder, fencingToken, expiresAt } = inherited.lease;
  events.context.fencingToken = fencingToken;
  events.emit({ event: 'lock.inherited', holder, expiresAt: expiresAt.toISOString() });
  try {
    const under = new UnderInheritedLease(context, inherited, socket);
    socket.answerWith((request, asker) => under.answer(request, asker));
    const end = await under.run(file);
    return decideOutcome(end, end.reason === 'lost' ? 'lost' : 'released', signals.forwarded);
  } finally {
    inherited.giveUp();
  }
}

/** Other runs inside the same command had their turns all the time. */
function reportTimeout({ events }: RunContext, holder: HolderDescription, waitedMs: number): void {
  events.emit({
    event: 'wait.timeout',
    holder: holder.instanceId,
    holderHost: holder.host,
    holderCommand: holder.command,
    heldMs: Math.max(0, holder.heldMs + Math.round(waitedMs)),
    expiresInMs: Math.max(0, holder.expiresInMs - Math.round(waitedMs)),
    queueLength: 1,
    waitedMs: Math.round(waitedMs),
    polls: 1,
    handovers: 0,
  });
}
