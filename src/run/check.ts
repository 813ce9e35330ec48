import type { ChildEnd } from '../child/supervise.js';
import { ABSENT_SCHEMA, errorCode } from '../db/classify.js';
import { MigrateLockError } from '../errors.js';
import { formatDuration } from '../text/duration.js';
import { Deadline } from './deadline.js';
import { describeRun } from './describe-run.js';
import { orderGuard } from './crash-release.js';
import type { RunResult } from './outcome.js';
import { findProgram, shellArgv, type Program } from './program.js';
import type { RunContext, RunOptions } from './run-context.js';
import { startProgram } from './start-program.js';

/** With a wait timeout of 0, a check before the lock has this long. */
const SHORTEST_MS = 5_000;
/** From SIGTERM to SIGKILL for a check before the lock: the wait timeout is kept to a second. */
const LONGEST_GRACE_MS = 500;
/** By then the holder has sent SIGKILL. */
const GUARD_AFTER_MS = 500;

/** The check, or undefined when none was given. @throws {MigrateLockError} when there is no shell for it (exit 126 or 127) */
export function findCheck(options: RunOptions): Program | undefined {
  return options.check === null ? undefined : findProgram('check', shellArgv(options.check), options);
}

/**
 * Runs the check before the wait for the lock. It has until the wait timeout.
 * @returns whether nothing is pending, no lease is held, and the command had no unclean end: the lock is not needed.
 * @throws {MigrateLockError} when the check could not run, or was ended at the wait timeout.
 */
export async function checkBeforeLock(
  context: RunContext,
  check: Program,
  socketPath: string | undefined,
): Promise<boolean> {
  const { options, signals } = context;
  const limitMs = options.waitTimeoutMs === 0 ? SHORTEST_MS : options.waitTimeoutMs;
  const termAtMs = performance.now() + limitMs;
  const killAtMs = termAtMs + Math.min(options.killGraceMs, LONGEST_GRACE_MS);
  const guardKillAtMs = killAtMs + GUARD_AFTER_MS;
  const times = { termAtMs, killAtMs, guardKillAtMs, leaseEndsAtMs: guardKillAtMs, leaseLastsMs: limitMs };
  orderGuard(context, socketPath, null, guardKillAtMs);
  const held = signals.hold();
  const child = await startProgram(context, new Deadline(times), check, { lease: null, signals: held });
  held.routeTo((signal) => {
    signals.noteForwarded(signal);
    child.forward(signal);
  });
  const end = await child.ended;
  orderGuard(context, socketPath);
  if (end.reason === 'deadline' || !end.gone) throw tooLong(limitMs);
  const isDone = isNothingPending(end) && options.once === null && (await isLockIdle(context));
  signals.throwIfForwarded();
  return isDone;
}

/** @throws {MigrateLockError} for 126 and 127: a check that cannot run says nothing. */
function isNothingPending({ exitCode, reason }: ChildEnd): boolean {
  if (reason !== 'exited') return false;
  if (exitCode === 126 || exitCode === 127) throw unusable(exitCode);
  return exitCode === 0;
}

/** The programs of a run that come after each other under the lease. */
export interface Programs {
  command: Program;
  check: Program | undefined;
}

/** The last program that was run under the lease. */
export interface Ended {
  program: Program['kind'];
  end: ChildEnd;
}

/**
 * Runs the check, and then `runCommand` unless nothing is pending.
 * @throws as the runner does, {MigrateLockError} when the check could not run, {Interrupted} when it got a signal.
 */
export async function checkAndRun(
  { signals }: RunContext,
  runner: { run: (program: Program) => Promise<ChildEnd> },
  check: Program | undefined,
  runCommand: () => Promise<Ended>,
): Promise<Ended> {
  if (check !== undefined) {
    const end = await runner.run(check);
    // A program that a signal ends may exit with 0.
    if (end.gone && end.reason === 'exited') signals.throwIfForwarded();
    if (!end.gone || end.reason !== 'exited' || isNothingPending(end)) return { program: 'check', end };
  }
  return runCommand();
}

/** Whether the command was not run because nothing was pending. */
export function isSkipped({ program, end }: Ended): boolean {
  return program === 'check' && isNothingPending(end);
}

/** Reports that nothing is run, as the check found nothing pending. */
export function reportNothingPending({ options, events }: RunContext): RunResult {
  events.emit({
    event: 'run.skipped',
    reason: 'check',
    runKey: options.once?.runKey ?? null,
    succeeded: true,
    exitCode: 0,
    ...{ by: null, byHost: null, byCommand: null, finishedAt: null, ranMs: null },
  });
  return { outcome: 'skipped', exitCode: 0 };
}

/** After a failure of the read the run waits for the lock, which reports the failure. */
async function isLockIdle({ calls, options }: RunContext): Promise<boolean> {
  try {
    const { mayBeUnfinished } = await calls.readRunKey(describeRun(options), null);
    return !mayBeUnfinished;
  } catch (error) {
    // A schema without this function is one of another version, or damaged.
    return errorCode(error) === ABSENT_SCHEMA;
  }
}

function unusable(exitCode: 126 | 127): MigrateLockError {
  return new MigrateLockError(`the check ended with exit code ${exitCode}, so it did not run`, {
    code: exitCode === 127 ? 'COMMAND_NOT_FOUND' : 'COMMAND_NOT_EXECUTABLE',
    exit: exitCode === 127 ? 'notFound' : 'notExecutable',
    hint: 'Correct the command line of --check. The command was not started.',
  });
}

function tooLong(limitMs: number): MigrateLockError {
  return new MigrateLockError(`the check did not end within ${formatDuration(limitMs)}, so it was ended`, {
    code: 'CHECK_TIMEOUT',
    exit: 'conflict',
    hint: 'Give a longer --wait-timeout, or a quicker check. The command was not started.',
  });
}
