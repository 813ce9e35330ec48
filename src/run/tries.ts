/** Runs the command more than once under one lease (`--retries`), and watches which sessions it blocks (`--max-block`). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildEnd } from '../child/supervise.js';
import { errorCode } from '../db/classify.js';
import { timeLimit } from '../db/time-limit.js';
import type { InvalidIndexSummary } from '../events/events.js';
import type { RetriesEndedReason } from '../events/try-fields.js';
import type { UncleanEnd } from '../lock/answers.js';
import { orAborted } from '../lock/or-aborted.js';
import { untilSessionsEnd } from '../lock/until-sessions-end.js';
import { invalidIndexes } from '../recover/leftovers.js';
import { BlockWatch } from './block-watch.js';
import type { Ended } from './check.js';
import { describeRun } from './describe-run.js';
import type { Program } from './program.js';
import { recover } from './recover.js';
import type { RunContext } from './run-context.js';
import { Interrupted } from './signals.js';
import type { UnderLease } from './under-lease.js';

const FIRST_PAUSE_MS = 1_000;
/** A pause is by so much shorter or longer. */
const JITTER = 0.25;

/**
 * @returns how the last try has ended. `under.isCutOff` says whether we have cancelled or ended a session of it.
 * @throws as UnderLease.run() does.
 */
export async function runTries(
  context: RunContext,
  under: UnderLease,
  command: Program,
  interrupt: AbortSignal,
): Promise<Ended> {
  const { options, me, events } = context;
  const { connection, schema, maxBlockMs, retries } = options;
  const watch =
    maxBlockMs === null
      ? undefined
      : new BlockWatch({ connection, schema, me, maxBlockMs, emit: events.emit });
  if (watch !== undefined) under.cuts = () => watch.cuts;
  try {
    const indexes =
      watch === undefined || retries === 0 ? null : await orAborted(knownIndexes(watch), interrupt);
    interrupt.throwIfAborted();
    for (let retry = 1; ; retry++) {
      watch?.begin();
      const end = await under.run(command, retry > retries);
      under.isCutOff = (await watch?.end()) ?? false;
      under.isUnclean ||= under.isCutOff || end.leftovers > 0;
      const ended: Ended = { program: 'command', end };
      if (retry > retries || !hasFailed(end, under.isCutOff, context)) return ended;
      const next = await beforeRetry(context, under, { retry, end, watch, indexes });
      if (next !== 'go on') return next ?? ended;
    }
  } finally {
    watch?.close();
  }
}

/** A command that ended by itself, but not as it should. One that a signal has ended is not started again. */
function hasFailed(
  { gone, reason, exitCode }: ChildEnd,
  isCutOff: boolean,
  { signals }: RunContext,
): boolean {
  if (!gone || reason !== 'exited' || signals.forwarded.size > 0) return false;
  return exitCode !== null && exitCode < 128 && (isCutOff || exitCode > 0);
}

interface LastTry {
  /** The number of the retry that would come now. */
  retry: number;
  end: ChildEnd;
  watch: BlockWatch | undefined;
  /** The INVALID indexes before the first try; null: not known. */
  indexes: ReadonlySet<string> | null;
}

/** @returns 'go on'; or what ended the retries: a recovery that failed, or undefined: the last try counts. */
async function beforeRetry(
  context: RunContext,
  under: UnderLease,
  { retry, end, watch, indexes }: LastTry,
): Promise<'go on' | Ended | undefined> {
  const { options, signals, events, calls, me } = context;
  const giveUp = (reason: RetriesEndedReason): Ended | undefined => {
    events.emit({ event: 'child.retries_ended', retry, retries: options.retries, reason });
    return undefined;
  };
  let doing: RetriesEndedReason = 'database';
  const interrupt = signals.interruptible();
  // A database that does not answer must not delay the release past the end of the lease.
  const leftMs = under.termAtMs - performance.now();
  const limit = timeLimit('check what the command has left', leftMs, leftMs);
  limit.passed.catch(() => undefined);
  const inTime = <T>(work: Promise<T>): Promise<T> =>
    Promise.race([orAborted(work, interrupt), limit.passed]);
  const pauseMs = FIRST_PAUSE_MS * 2 ** (retry - 1) * (1 + JITTER * (2 * Math.random() - 1));
  const fits = (inMs: number): boolean => performance.now() + inMs + end.durationMs <= under.termAtMs;
  try {
    if (!fits(pauseMs)) return giveUp('time');
    // A statement goes on in the server when its client has ended.
    const settling = untilSessionsEnd(
      (seen) => calls.settle(me, seen),
      (answer) => (answer.outcome === 'orphans' ? answer : null),
    ).finally(() => calls.database.disconnect());
    const { outcome } = await inTime(settling);
    if (outcome !== 'settled') return giveUp(outcome === 'refused' ? 'lease' : 'sessions');
    if (under.isCutOff && watch !== undefined) {
      const found = await inTime(invalidIndexes(watch.database));
      const left = indexes === null ? found : found.filter((index) => !indexes.has(nameOf(index)));
      if (left.length > 0) {
        events.emit({ event: 'database.leftovers', indexes: left, preparedTransactions: null });
        return giveUp('indexes');
      }
    }
    if (!fits(pauseMs)) return giveUp('time');
    events.emit({
      event: 'child.retry',
      retry,
      retries: options.retries,
      delayMs: Math.round(pauseMs),
      exitCode: end.exitCode,
      signal: end.signal,
      isCutOff: under.isCutOff,
    });
    await sleep(pauseMs, undefined, { signal: interrupt }).catch(() => undefined);
    interrupt.throwIfAborted();
    if (under.isUnclean) {
      doing = 'recovery';
      const recovery = await recover(context, under, uncleanEnd(context, under), interrupt);
      if (recovery.outcome === 'failed') return { program: 'recovery', end: recovery.end };
      if (recovery.outcome === 'recovered') under.isUnclean = false;
    }
  } catch (error) {
    // What the database could not answer is no reason to start the command again.
    if (!(error instanceof Interrupted))
      return giveUp(errorCode(error) === 'LEASE_NOT_HELD' ? 'lease' : doing);
    signals.noteForwarded(error.signal);
    return undefined;
  } finally {
    limit.clear();
  }
  if (!fits(0)) return giveUp('time');
  return 'go on';
}

/** The next try finds what the next run would find. */
function uncleanEnd({ options }: RunContext, { lease }: UnderLease): UncleanEnd {
  return {
    kind: 'leftovers',
    instanceId: lease.instanceId,
    command: describeRun(options).command,
    lockedAtMs: lease.lockedAt.getTime(),
    endedAtMs: lease.expiresAt.getTime(),
  };
}

async function knownIndexes({ database }: BlockWatch): Promise<ReadonlySet<string> | null> {
  try {
    return new Set((await invalidIndexes(database)).map(nameOf));
  } catch {
    return null;
  }
}

function nameOf({ schema, name }: InvalidIndexSummary): string {
  return JSON.stringify([schema, name]);
}
