import { explain } from '../../db/explain.js';
import { UsageError } from '../../errors.js';
import { checkAndRun, isSkipped, reportNothingPending, type Programs } from '../check.js';
import { CutOffError } from '../cut-off-error.js';
import { describeRun } from '../describe-run.js';
import { reportFailure } from '../failure.js';
import type { HolderDescription } from '../../lock/lease.js';
import { LockWaitTimeoutError } from '../../lock/lock-wait-timeout-error.js';
import { orAborted } from '../../lock/or-aborted.js';
import { currentHolder } from '../holder/current-holder.js';
import { findEnclosing, heldAroundUs, isAroundUs, mayBeEnclosed } from '../holder/enclosing.js';
import type { HolderSocket } from '../holder/holder-socket.js';
import { inheritLease, isSameLease, type InheritedLease } from './inherit.js';
import { reportSkipped } from '../once.js';
import { decideOutcome, type RunResult } from '../outcome.js';
import type { RunContext } from '../run-context.js';
import { UnderInheritedLease } from './under-inherited-lease.js';

/** The enclosing run that holds our lock. */
export interface OuterRun {
  /** The socket for requests to it. */
  socketPath: string;
  holder: HolderDescription;
}

/**
 * Finds the enclosing run on the same lock: waiting for it would never end. The database says which run holds the lock, because an
 * environment variable may be stale.
 * @throws {MigrateLockError} OUTER_RUN_UNREACHABLE when that run cannot be reached.
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
    // Otherwise another role has acquired our lock under the id of an enclosing run, which is on another lock.
    return isSameLease(found.lease, holder, calls.schema)
      ? { socketPath: found.socketPath, holder }
      : undefined;
  }
  if (isAroundUs(holder, options.env)) throw heldAroundUs(holder, found.problems);
  return undefined;
}

/** Runs the check and the command under the outer run's lease. The outer run is the one that recovers. */
export async function runNested(
  context: RunContext,
  { command, check }: Programs,
  outer: OuterRun,
  socket: HolderSocket,
  waitTimeoutMs: number,
  interrupt: AbortSignal,
): Promise<RunResult> {
  const { options, calls, events, signals, mark } = context;
  if (options.once !== null) {
    const reading = calls.readRunKey(describeRun(options), options.once.failureMemoryMs);
    const { run } = await orAborted(reading, interrupt).catch((error: unknown) => {
      interrupt.throwIfAborted();
      throw explain(error, calls.database.description, calls.schema);
    });
    if (run === null) throw notStorable(outer.holder);
    return reportSkipped(run, context);
  }
  const isWatched = (await orAborted(cutsOf(outer, context), interrupt)) !== undefined;
  if (options.maxBlockMs !== null && !isWatched) throw notWatched(outer.holder);
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
  const under = new UnderInheritedLease(context, inherited, socket);
  try {
    socket.answerWith((request, requester) => under.answer(request, requester));
    const cuts = isWatched ? await orAborted(cutsOf(outer, context), interrupt) : undefined;
    const ended = await checkAndRun(context, under, check, async () => ({
      program: 'command',
      end: await under.run(command),
    }));
    const { end } = ended;
    // The outer run does not say whose session it has cancelled or ended: it may have been this command's, or its check's.
    if (isWatched && end.exitCode === 0 && end.reason === 'exited') {
      const now = await orAborted(cutsOf(outer, context), signals.interruptible());
      if (now !== cuts) return reportFailure(new CutOffError(), options, events);
    }
    if (isSkipped(ended)) return reportNothingPending(context);
    return decideOutcome(end, end.reason === 'lost' ? 'lost' : 'released', signals.forwarded);
  } finally {
    under.close();
    inherited.giveUp();
  }
}

/** How many sessions the run that has the lease has cancelled or ended; undefined: it has no --max-block, or cannot be asked. */
async function cutsOf(
  { holder }: OuterRun,
  { options, calls }: Pick<RunContext, 'options' | 'calls'>,
): Promise<number | undefined> {
  const found = await findEnclosing(
    options.env,
    (lease) => isSameLease(lease, holder, calls.schema) && lease.cuts !== undefined,
  );
  return 'socketPath' in found ? found.lease.cuts : undefined;
}

/** The lease is the outer run's: only that run can store a success, and others would wait for this one for ever. */
function notStorable({ instanceId }: HolderDescription): UsageError {
  return new UsageError(
    `A run with --once inside another run on the same lock (${instanceId}) could not store its success.`,
    'Give --once to the outer run, or to none of the two.',
  );
}

/** Only the holder of a lease may end its sessions. */
function notWatched({ instanceId }: HolderDescription): UsageError {
  return new UsageError(
    `A run with --max-block inside another run on the same lock (${instanceId}) cannot watch the database: that run has the lease.`,
    'Give --max-block to the outer run: it also watches the sessions of runs inside it.',
  );
}

/** Other runs inside the same command had the turns until the wait timeout. */
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
