import { hostname } from 'node:os';
import { newMark } from '../child/instance-mark.js';
import { OwnDatabase } from '../db/own-database.js';
import { createEventStream } from '../events/event-stream.js';
import { UsageError } from '../errors.js';
import { EXIT_CODES } from '../exit-codes.js';
import type { EventListener } from '../events/events.js';
import { CALL_LIMIT_MS, LockCalls, type EndDetails, type WorkResult } from '../lock/calls.js';
import { newIdentity, type Lease } from '../lock/lease.js';
import { childTimes } from '../lock/lease-times.js';
import { orAborted } from '../lock/or-aborted.js';
import { releaseLease, type ReleaseOutcome } from '../lock/release.js';
import { waitForLease, type Acquisition, type WaitResult } from '../lock/wait-for-lease.js';
import {
  checkAndRun,
  checkBeforeLock,
  findCheck,
  isSkipped,
  reportNothingPending,
  type Ended,
  type Programs,
} from './check.js';
import { orderGuard } from './crash-release.js';
import { CutOffError } from './cut-off-error.js';
import { describeRun } from './describe-run.js';
import { reportFailure } from './failure.js';
import { openHolderSocket, type HolderSocket } from './holder/holder-socket.js';
import { findOuterRun, runNested } from './nested/nested-run.js';
import { exitAsStored, reportSkipped, resultOfWork } from './once.js';
import { decideOutcome, kindOfEnd, type RunResult } from './outcome.js';
import { findCommand, type Program } from './program.js';
import { recover, reportToolLocks } from './recover.js';
import { refuseWrongRecovery } from './recovery-plan.js';
import type { RunContext, RunOptions } from './run-context.js';
import { Interrupted, SignalRouter } from './signals.js';
import { startGuard } from './start-guard.js';
import { UnderLease } from './under-lease.js';
import { sessionsOfHolder } from './lease-sessions.js';
import { runTries } from './tries.js';

/**
 * Runs the command under the lock: prepare, wait, supervise, release, outcome.
 * @returns the exit code; never throws. The listeners get every event; the last one is `run.finished`.
 */
export async function run(options: RunOptions, listeners: readonly EventListener[]): Promise<number> {
  const startedAtMs = performance.now();
  const database = new OwnDatabase(options.connection);
  const context = prepare(options, database, listeners);
  let result: RunResult;
  try {
    result = await runUnderLock(context);
  } catch (error) {
    result = reportFailure(error, options, context.events);
  } finally {
    context.guard.dismiss();
    database.disconnect();
    context.signals.close();
  }
  const durationMs = Math.round(performance.now() - startedAtMs);
  context.events.emit({ event: 'run.finished', ...result, durationMs });
  return result.exitCode;
}

/** @throws an error that reportFailure() reports. */
async function runUnderLock(context: RunContext): Promise<RunResult> {
  const { options, events, signals } = context;
  const command = findCommand(options);
  const check = findCheck(options);
  refuseWrongRecovery(options);
  const startedAtMs = performance.now();
  let interrupt = signals.interruptible();
  const socket = await prepareSocket(context);
  try {
    if (socket.path === undefined) events.emit({ event: 'socket.absent', reason: socket.problem });
    if (check !== undefined) {
      interrupt.throwIfAborted();
      if (await checkBeforeLock(context, check, socket.path)) return reportNothingPending(context);
      interrupt = signals.interruptible();
    }
    const outer = await orAborted(findOuterRun(context, interrupt), interrupt);
    const leftMs = Math.max(0, Math.round(options.waitTimeoutMs - (performance.now() - startedAtMs)));
    if (outer !== undefined)
      return await runNested(context, { command, check }, outer, socket, leftMs, interrupt);

    // Before the wait, where the database answers already.
    await refusePooler(context, interrupt).catch((error: unknown) => {
      if (error instanceof UsageError || error instanceof Interrupted) throw error;
    });
    const waited = await wait(context, socket, leftMs, interrupt);
    switch (waited.outcome) {
      case 'settled':
        return reportSkipped(waited.run, context);
      case 'timed-out':
        return { outcome: 'conflict', exitCode: options.conflictExitCode };
      case 'interrupted':
        throw waited.reason;
      case 'acquired':
        return await supervise(context, { command, check }, waited, socket, interrupt);
    }
  } finally {
    socket.close();
  }
}

/** Everything that can be started before the database answers. */
function prepare(
  options: RunOptions,
  database: OwnDatabase,
  listeners: readonly EventListener[],
): RunContext {
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
  const signals = new SignalRouter();
  // A check comes first, and its processes may need the connection.
  if (options.check === null) database.prepare(CALL_LIMIT_MS);
  const mark = newMark();
  const guard = startGuard(options, mark, events);
  const calls = new LockCalls(database, options.schema, options.orphans);
  return { options, mark, me, events, signals, calls, guard };
}

/** The guard gets its orders when the directory exists, so that the directory is removed after a crash. */
async function prepareSocket(context: RunContext): Promise<HolderSocket> {
  const socket = await openHolderSocket(context.options.env, (path) => orderGuard(context, path));
  if (socket.path === undefined) orderGuard(context, undefined);
  return socket;
}

/** The guard has its orders: after a kill -9 it leaves the queue, or releases a lease that was just acquired. */
function wait(
  context: RunContext,
  socket: HolderSocket,
  waitTimeoutMs: number,
  signal: AbortSignal,
): Promise<WaitResult> {
  const { options } = context;
  const { ttlMs, killGraceMs, pollIntervalMs, listen, once } = options;
  return waitForLease(context.calls, context.me, describeRun(context.options), {
    ttlMs,
    workMs: ttlMs - childTimes(ttlMs, killGraceMs).termBeforeEndMs,
    waitTimeoutMs,
    pollIntervalMs,
    listen,
    failureMemoryMs: once?.failureMemoryMs ?? null,
    signal,
    emit: context.events.emit,
    renewIdentity: () => {
      context.me = newIdentity();
      context.events.context.instanceId = context.me.instanceId;
      orderGuard(context, socket.path);
      return context.me;
    },
    onLease: ({ fencingToken }) => (context.events.context.fencingToken = fencingToken),
    readHolderSessions: (held) => sessionsOfHolder(context.calls, held),
  });
}

/** Under the lease: recovers, checks, runs the command; releases the lease when its processes have ended. */
async function supervise(
  context: RunContext,
  { command, check }: Programs,
  { lease, previousEnd, connectionsAbound }: Acquisition,
  socket: HolderSocket,
  interrupt: AbortSignal,
): Promise<RunResult> {
  const under = new UnderLease(context, lease, socket, connectionsAbound);
  socket.answerWith((request, requester) => under.answer(request, requester));
  let recovered = false;
  let ended: Ended;
  try {
    await refusePooler(context, interrupt);
    interrupt.throwIfAborted();
    const recovery = await recover(context, under, previousEnd, interrupt);
    recovered = recovery.outcome === 'recovered';
    if (recovery.outcome === 'failed') ended = { program: 'recovery', end: recovery.end };
    else
      ended = await checkAndRun(context, under, check, () =>
        runWithRetries(context, under, command, interrupt),
      );
  } catch (error) {
    const reason = error instanceof Interrupted ? 'interrupted' : 'the command could not be started';
    await under.close();
    const kind = under.isUnclean ? 'leftovers' : null;
    await release(context, under.lease, { end: { reason, kind, recovered } });
    throw error;
  }
  await under.close();
  return finish(context, under, { ...ended, recovered, isMarked: previousEnd !== null });
}

/**
 * With --max-block.
 * @throws {UsageError} behind a pooler, {Interrupted}, or the error of the database.
 */
async function refusePooler({ options, calls }: RunContext, interrupt: AbortSignal): Promise<void> {
  if (options.maxBlockMs === null) return;
  if (!(await orAborted(calls.database.findPooler(CALL_LIMIT_MS), interrupt))) return;
  throw new UsageError(
    'There is a pooler in front of the database, so --max-block is not possible: its sessions keep the name of the lease when others use them.',
    'Connect migrate-lock and the command to the server itself, or leave --max-block out and set a lock_timeout in the migration.',
  );
}

async function runWithRetries(
  context: RunContext,
  under: UnderLease,
  command: Program,
  interrupt: AbortSignal,
): Promise<Ended> {
  const { maxBlockMs, retries } = context.options;
  if (maxBlockMs === null && retries === 0) return { program: 'command', end: await under.run(command) };
  return runTries(context, under, command, interrupt);
}

/** Releases the lease, unless processes may still run, and decides how the run ends. */
async function finish(
  context: RunContext,
  under: UnderLease,
  { program, end, recovered, isMarked }: Ended & { recovered: boolean; isMarked: boolean },
): Promise<RunResult> {
  const { options, signals } = context;
  const isCommand = program === 'command';
  if (!end.gone) {
    reportKept(context, under);
    const kept = exitAsStored(decideOutcome(end, 'failed', signals.forwarded), false, null, context);
    return isCommand ? refuseSuccess(kept, under, context) : notStarted(kept, program);
  }
  const { exitCode, signal, reason, leftovers } = end;
  const { isCutOff } = under;
  const work =
    options.once === null || isCutOff ? null : (resultOfWork(end, program, signals.forwarded) ?? null);
  // A later try that succeeds has done what an earlier one has left.
  const isUnclean = isCutOff || (under.isUnclean && !(isCommand && end.exitCode === 0));
  const kind = kindOfEnd(end, program, signals.forwarded, isUnclean);
  const released = await release(context, under.lease, {
    end: isCommand
      ? { exitCode, signal, reason, leftovers, kind, recovered }
      : { reason: program, kind, recovered },
    work,
  });
  if (isSkipped({ program, end })) {
    return exitAsStored(reportNothingPending(context), released === 'released', work, context);
  }
  if (released === 'released' && kind === 'clean' && exitCode !== 0 && isMarked && !recovered)
    await reportToolLocks(context);
  const result = decideOutcome(end, released, signals.forwarded);
  if (!isCommand) return notStarted(result, program);
  if (isCutOff) return refuseSuccess(result, under, context);
  return exitAsStored(result, released === 'released', work, context);
}

/** A command that goes on after a statement that was cancelled, as psql does, ends with 0. That is no success. */
function refuseSuccess(result: RunResult, { isCutOff }: UnderLease, context: RunContext): RunResult {
  if (!isCutOff || result.exitCode !== 0) return result;
  return reportFailure(new CutOffError(), context.options, context.events);
}

/** The command was not started, because the recovery or the check before it failed: exit code 0 would report a success. */
function notStarted({ outcome, exitCode }: RunResult, program: Program['kind']): RunResult {
  return {
    outcome: outcome !== 'completed' ? outcome : program === 'recovery' ? 'unrecovered' : 'error',
    exitCode: exitCode === 0 ? EXIT_CODES.internal.code : exitCode,
  };
}

/** A signal stops the retries. It may be the signal that has ended the child. */
function release(
  { calls, me, events, signals }: RunContext,
  lease: Lease,
  { end, work = null }: { end: EndDetails; work?: WorkResult | null },
): Promise<ReleaseOutcome> {
  const enough = new AbortController();
  signals.hold().routeTo((signal) => {
    signals.noteForwarded(signal);
    enough.abort(new Interrupted(signal));
  });
  return releaseLease(calls, me, lease, { end, work, signal: enough.signal, emit: events.emit });
}

/** Processes that could not be ended may still run: the lease is kept, and expires. */
function reportKept({ events }: RunContext, { lease, keepFailure }: UnderLease): void {
  events.emit({
    event: 'lock.release_failed',
    code: 'CHILD_NOT_GONE',
    message:
      'processes of the command could not be ended, so the lease is kept until it expires' +
      (keepFailure === undefined ? '' : `; it could not be extended: ${keepFailure}`),
    expiresAt: lease.expiresAt.toISOString(),
  });
}
