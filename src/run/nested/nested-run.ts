import { describeRun } from '../describe-run.js';
import type { HolderDescription } from '../../lock/lease.js';
import { LockWaitTimeoutError } from '../../lock/lock-wait-timeout-error.js';
import { RunSettled } from '../../lock/run-settled.js';
import { currentHolder } from '../holder/current-holder.js';
import { findEnclosing, heldAroundUs, isAroundUs, mayBeEnclosed } from '../holder/enclosing.js';
import type { HolderSocket } from '../holder/holder-socket.js';
import { inheritLease, isSameLease } from './inherit.js';
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

/** Runs the command under the outer run's lease. `onUnder` is told who answers those inside of it. */
export async function runNested(
  context: RunContext,
  file: string,
  outer: OuterRun,
  socket: HolderSocket,
  { waitTimeoutMs, signal, onUnder }: NestedOptions,
): Promise<RunResult> {
  const { options, calls, events } = context;
  if (options.once !== null) {
    const look = await calls.look(describeRun(options), options.once.failureMemoryMs).catch(() => null);
    if (look?.run != null) throw new RunSettled(look.run);
  }
  const inherited = await inheritLease(outer.socketPath, calls, context.mark, waitTimeoutMs, signal).catch(
    (error: unknown) => {
      if (error instanceof LockWaitTimeoutError) tellTimeout(context, outer.holder, error.waitedMs);
      throw error;
    },
  );
  const { instanceId: holder, fencingToken, expiresAt } = inherited.lease;
  events.context.fencingToken = fencingToken;
  events.emit({ event: 'lock.inherited', holder, expiresAt: expiresAt.toISOString() });
  const forwarded = new Set<NodeJS.Signals>();
  try {
    const under = new UnderInheritedLease(context, inherited, socket);
    onUnder(under);
    const end = await under.run(file, forwarded);
    return decideOutcome(end, end.reason === 'lost' ? 'lost' : 'released', forwarded);
  } finally {
    inherited.giveUp();
  }
}

export interface NestedOptions {
  waitTimeoutMs: number;
  signal: AbortSignal;
  onUnder: (under: UnderInheritedLease) => void;
}

/** Other runs inside of the same command had their turns all the time. */
function tellTimeout({ events }: RunContext, holder: HolderDescription, waitedMs: number): void {
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
